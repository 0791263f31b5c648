"""The study as a graph of stages: what each needs and reads, and whether a run has done it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lib.core.code import used_hashes
from lib.core.notebooks import code_of_notebook, notebook_hash
from lib.core.paths import ROOT, run_folder, shown
from lib.core.progress import Progress, clock, say
from lib.core.records import (
    Record,
    StudyError,
    file_sha256,
    read_records,
)
from lib.core.stages import STAGES, Stage

__all__ = ["ROOT", "STAGES", "Progress", "Stage", "StudyError", "clock", "say"]

# Parameters that say how fast or from where a record comes, not what it is: a stage stays done when they change.
OPERATIONAL = frozenset(
    {"RUN", "ENGINE", "REPLAY_FROM", "WORKERS", "MAX_SEQS", "ENGINE_OPTIONS", "RAY", "LAUNCH", "REPLAY"}
    | {"GRADIENT_CHECKPOINTING"}
)


def stage_of(name: str) -> Stage:
    """Return a stage by its name or number; StudyError when there is none."""
    for stage in STAGES:
        if name in (stage.name, stage.number):
            return stage
    raise StudyError(f"there is no stage {name}; the study has {', '.join(stage.name for stage in STAGES)}")


def with_role(role: str) -> list[Stage]:
    """Return the stages of a role, in order."""
    return [stage for stage in STAGES if role in stage.roles]


def only(role: str) -> str:
    """Return the name of the one stage of a role."""
    (stage,) = with_role(role)
    return stage.name


def source_of(path: str, run: str) -> tuple[str, str, str]:
    """Return (run, stage, file) of an input as a manifest of `run` names it: stage/file, or run:stage/file.

    Also takes a stage alone, as `Stage.needs` names it; the file is then "".
    """
    other, colon, inside = path.rpartition(":")
    stage, _, file = inside.partition("/")
    return other if colon else run, stage, file


def with_ancestors(stages: Iterable[Stage]) -> list[Stage]:
    """Return stages and all that they need of their own run, in order."""
    wanted = {stage.name for stage in stages}
    for stage in reversed(STAGES):
        if stage.name in wanted:
            wanted |= {need for need in stage.needs if ":" not in need}
    return [stage for stage in STAGES if stage.name in wanted]


def reads(name: str) -> dict[str, str]:
    """Return {path: hash} of what a stage reads of the repository: its notebook, data files, modules of `lib`."""
    code = code_of_notebook(name)
    return {f"notebooks/{name}.ipynb": notebook_hash(name)} | data_hashes(stage_of(name)) | used_hashes(code, ROOT)


def data_hashes(stage: Stage) -> dict[str, str]:
    """Return {path: hash} of the data files that a stage reads, those in folders of its folders included."""
    places = [ROOT / place for place in stage.reads]
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()]
    return {file.relative_to(ROOT).as_posix(): file_sha256(file)[:16] for file in sorted(files)}


def read_manifest(run: str, stage: str) -> Record | None:
    """Return a stage's manifest, or None when the stage has not finished."""
    path = run_folder(run) / stage / "manifest.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StudyError(f"{path} is not JSON; delete it and run `make {stage[:2]}` again") from error


def read_stored(folder: Path, role: str, file: str) -> list[Record]:
    """Return the records of a stage in the folder of a run or a reference; StudyError when they are not there.

    They are plain, gzipped, or in shards <name>-00.jsonl.gz, ...
    """
    place = folder / only(role)
    whole = [path for path in (place / file, place / f"{file}.gz") if path.is_file()]
    shards = sorted(place.glob(f"{file.removesuffix('.jsonl')}-[0-9]*.jsonl*"))
    if not whole and not shards:
        raise StudyError(f"{shown(place / file)} is missing: record it first, or correct the folder's name")
    return [record for path in whole[:1] or shards for record in read_records(path)]


def changed(before: dict[str, Any], parameters: dict[str, Any]) -> list[str]:
    """Return the names of the parameters whose values differ from earlier ones, operational ones aside."""
    return [key for key, value in parameters.items() if key not in OPERATIONAL and before.get(key) != value]


def stale(manifest: Record, name: str) -> list[str]:
    """Return which files of the repository changed since a stage ran: its notebook, its data, its code."""
    before, now = manifest.get("reads", {}), reads(name)
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


def undone(run: str, stage: str, parameters: dict[str, Any]) -> str | None:
    """Return why a stage must be run, or None when its manifest matches its parameters, inputs, data and code."""
    manifest = read_manifest(run, stage)
    if manifest is None:
        return "not run yet" if not (run_folder(run) / stage).exists() else "not finished"
    for name in changed(manifest["parameters"], parameters):
        return f"{name} changed from {manifest['parameters'].get(name)!r} to {parameters[name]!r}"
    if paths := stale(manifest, stage):
        return f"stale: {paths[0]}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "") + " changed"
    for path, sha256 in manifest["inputs"].items():
        of, parent, file = source_of(path, run)
        if ((read_manifest(of, parent) or {}).get("outputs", {}).get(file) or {}).get("sha256") != sha256:
            return f"its input {path} changed"
    for file, facts in manifest["outputs"].items():
        path = run_folder(run) / stage / file
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            return f"its output {file} is missing or was altered"
    return None

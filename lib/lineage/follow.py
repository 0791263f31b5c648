"""Follows a training example home: its task, all answers to it with their verdicts, the concepts, the source line."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.core.paths import shown
from lib.core.records import Record, StudyError
from lib.core.study import only, read_stored

FILES = {
    "seeds": "curation", "concepts": "synthesis", "instructions": "synthesis", "responses": "synthesis",
    "verdicts": "filtering", "dataset": "filtering", "mutants": "filtering",
}  # fmt: skip
OPTIONAL = ("concepts", "mutants")  # no concepts where tasks were made straight from seeds, no mutants in older runs


@dataclass(frozen=True)
class Lineage:
    """An example of the training set, and what led to it.

    `concepts` is None where the task was made straight from the seed; `answers` are all responses to the task that came
    to an end, by sample number, each with its record of verdicts (None: it was not of a form that can be run).
    """

    example: Record
    answers: tuple[tuple[Record, Record | None], ...]
    task: Record
    concepts: Record | None
    seed: Record

    @property
    def drawn(self) -> Record | None:
        """The record of verdicts of the answer that the example is made of."""
        return next(seen for one, seen in self.answers if one["id"] == self.example["parent"])

    @property
    def verdicts(self) -> list[str]:
        """The answers' verdicts in order; "not run" for one that was not of a form that can be run."""
        return [seen["verdict"] if seen else "not run" for _, seen in self.answers]

    @property
    def place(self) -> str:
        """The source line, in words."""
        source = self.seed["source"]
        return f"{source['package']} {source['version']} ({source['licence']}), {source['path']}, line {source['line']}"


class Followed:
    """The records of stages 01 to 03 of a run's or a reference's folder, by id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def by_name(self) -> dict[str, Mapping[str, Record]]:
        """All records, by file and id; what a run need not have is empty where it has none."""
        found: dict[str, Mapping[str, Record]] = {}
        for name, role in FILES.items():
            none = name in OPTIONAL and not any((self.folder / only(role)).glob(f"{name}*"))
            found[name] = {} if none else {each["id"]: each for each in read_stored(self.folder, role, f"{name}.jsonl")}
        return found

    @cached_property
    def mutants(self) -> dict[str, list[Record]]:
        """The mutants that the tests of each response were run on, by the response's id."""
        found: dict[str, list[Record]] = {}
        for one in self.by_name["mutants"].values():
            found.setdefault(one["id"].rpartition(":")[0], []).append(one)
        return found

    @cached_property
    def answers(self) -> dict[str, list[Record]]:
        """The responses to each task, by sample number."""
        found: dict[str, list[Record]] = {}
        for one in sorted(self.by_name["responses"].values(), key=lambda one: one["sample"]):
            found.setdefault(one["parent"], []).append(one)
        return found

    def lineage(self, example: str) -> Lineage:
        """Return the lineage of the example of the training set with this id; StudyError when there is none."""
        kept = self.by_name["dataset"].get(example)
        if kept is None:
            raise StudyError(
                f"{shown(self.folder)} has no training example {example!r}; leave it empty to have one chosen"
            )
        task = self.by_name["instructions"][self.by_name["responses"][kept["parent"]]["parent"]]
        judged = tuple((one, self.by_name["verdicts"].get(one["id"])) for one in self.answers[task["id"]])
        return Lineage(
            kept, judged, task, self.by_name["concepts"].get(task["parent"]), self.by_name["seeds"][task["seed"]]
        )

    def telling(self) -> str:
        """Return the id of the example that shows most in least space.

        That with the most different verdicts among the answers to its task, then the shortest one.
        """
        found = [self.lineage(example) for example in self.by_name["dataset"]]
        if not found:
            raise StudyError(f"{shown(self.folder)} has no training example")
        best = min(found, key=lambda one: (-len(set(one.verdicts)), -len(one.answers), size(one), one.example["id"]))
        return best.example["id"]


def size(lineage: Lineage) -> int:
    """Return the characters that a reader of a lineage sees."""
    return (
        sum(len(one["text"]) for one, _ in lineage.answers)
        + len(lineage.seed["code"])
        + len(lineage.task["instruction"])
    )

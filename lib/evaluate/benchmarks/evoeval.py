"""EvoEval (Xia et al. 2024): HumanEval's tasks rewritten by a language model in five ways, 100 tasks per set.

No package index carries the data, and this study was written without the files: any file is accepted, its hash is
reported, and its version is called unpinned. Format, rules and reference as in evoeval 0.1.0. Its reference solutions
were written by a model, as were the inputs (Python expressions): both run in the box only. Fixed faults: there an empty
list equals a list of one float, and a scalar a list of floats; a route through a grid is checked at the wrong cell, and
may leave it at a negative index. Call limits are those of the command evoeval.evaluate, which are EvalPlus's: 1 s or 4
times the reference's time.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.core.paths import cache_folder
from lib.core.records import Record, StudyError
from lib.evaluate.benchmarks.evalplus import EvalPlus
from lib.evaluate.benchmarks.humaneval import HumanEval
from lib.evaluate.data import downloaded, locate, read_pinned
from lib.evaluate.oracles.evoeval import RULES

FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "inputs")
RELEASE = "https://github.com/evo-eval/evoeval_release/releases/download/v0.1.0"


def load(path: str | Path | None = None, *, which: str) -> "EvoEval":
    """Return one of the five sets, from a path or from where `lib.evaluate.data.locate` finds it.

    Missing when it is nowhere, StudyError when the file is damaged or lacks one of EvoEval's fields.
    """
    stem = f"EvoEval_{which}"
    kept = cache_folder() / "benchmarks" / f"{stem}.jsonl"
    stems = [f"{stem}-v0.1.0", stem]

    def otherwise() -> Path:
        return downloaded(f"{RELEASE}/{stem}.jsonl.gz", kept)

    place = locate(path, stems, "EVOEVAL_OVERRIDE_PATH", "evoeval", otherwise, folder_only=True)
    facts, problems = read_pinned(place, {})
    if lacking := next((name for row in problems.values() for name in FIELDS if name not in row), None):
        raise StudyError(f"{place} has a task without {lacking}: it is not a file of {stem}")
    return EvoEval(which, problems, **facts)


class EvoEval(EvalPlus, HumanEval):
    """One of the sets, graded by EvoEval's rules; an input is the source text of a call's arguments."""

    parts, faults, own, between = ("base",), {}, "evoeval", "\n"  # a reference begins on the line after the prompt

    def __init__(self, which: str, problems: Mapping[str, Record], **facts: str) -> None:
        super().__init__(f"EvoEval {which}", problems, **facts)
        self.which = which

    def inputs(self, task: str, part: str) -> list[Any]:
        return self.problems[task]["inputs"]

    def rule(self, task: str) -> str | None:
        name = f"{self.which}/{task.rpartition('/')[2]}"
        return name if name in RULES else None

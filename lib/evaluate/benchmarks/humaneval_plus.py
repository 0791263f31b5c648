"""HumanEval+ (Liu et al. 2023, EvalPlus): HumanEval's tasks with many more inputs, checked against a reference."""

from pathlib import Path

from lib.evaluate.benchmarks.evalplus import EvalPlus
from lib.evaluate.benchmarks.humaneval import HumanEval
from lib.evaluate.data import from_evalplus

# sha256 of the uncompressed file, the newest version first. The paper scored v0.1.9; evalplus 0.3.1 has v0.1.10.
PINS = {
    "42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f": "v0.1.10",
    "50d50fda1ecf4c9168d762456ae29c1d8b8b922e68c66964f7891c98d93a04b7": "v0.1.9",
}


def load(path: str | Path | None = None, version: str = "") -> "HumanEvalPlus":
    """Return HumanEval+ of a version ("": any) from a path, or from where `lib.evaluate.data.locate` finds it.

    Missing when it is nowhere, StudyError when the file is damaged or of another version.
    """
    facts, problems = from_evalplus(path, "HumanEval+", PINS, version)
    return HumanEvalPlus("HumanEval+", problems, **facts)


class HumanEvalPlus(EvalPlus, HumanEval):
    """HumanEval's tasks, graded on base and plus inputs."""

    def rule(self, task: str) -> str | None:
        return "find_zero" if self.problems[task]["entry_point"] == "find_zero" else None

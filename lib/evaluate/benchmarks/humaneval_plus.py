"""HumanEval+ (Liu et al. 2023, EvalPlus): HumanEval's tasks with many more inputs, checked against a reference."""

from pathlib import Path

from lib.core.records import Record
from lib.evaluate.benchmark import Benchmark
from lib.evaluate.benchmarks import evalplus, humaneval
from lib.evaluate.data import from_evalplus

# sha256 of the uncompressed file, the newest version first. The paper scored v0.1.9; evalplus 0.3.1 has v0.1.10.
PINS = {
    "42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f": "v0.1.10",
    "50d50fda1ecf4c9168d762456ae29c1d8b8b922e68c66964f7891c98d93a04b7": "v0.1.9",
}


def load(path: str | Path | None = None, version: str = "") -> Benchmark:
    """Return HumanEval+ of a version ("": any) from a path, or from where `lib.evaluate.data.locate` finds it.

    Missing when it is nowhere, StudyError when the file is damaged or of another version.
    """
    facts, problems = from_evalplus(path, "HumanEval+", PINS, version)
    return Benchmark(
        "HumanEval+", **facts, problems=problems, instruction=humaneval.instruction, solution=humaneval.solution,
        program=program, **evalplus.GRADING,
    )  # fmt: skip


def program(problem: Record, solution: str, part: str, time_scale: float) -> Record:
    """Return the program that runs a solution on a task's base or plus inputs."""
    rule = "find_zero" if problem["entry_point"] == "find_zero" else None
    inputs = problem[evalplus.PARTS[part]]
    return evalplus.program(problem, solution, inputs, rule, time_scale)

"""What HumanEval+, MBPP+ and EvoEval share: many inputs per task, and answers compared with a reference's (EvalPlus).

Base and plus inputs are two programs, as with EvalPlus, and `plus` covers the plus inputs alone; a sample passes when
both do. The reference runs in the box after the solution has loaded and before it is called, so that both are timed on
the same machine under the same load; then only the expected answers are left, not the reference (but its source, for a
solution that searches the interpreter's frames: `lib.sandbox` says what is not detected). A call may take FLOOR_SECONDS
or FACTOR times the reference's time, whichever is more, of processor time (EvalPlus: by the clock).

Faults of evalplus 0.3.1 that are fixed here:
- HumanEval/32 never passes: its oracle accepts a root and then forgets to count the input;
- the plus inputs of Mbpp/255 need more memory than its default limit leaves: its own solution fails;
- an answer with an `__eq__` of its own passes, whatever it is; here it fails.
Older versions (before 0.3, those of the published samples) also failed every float that was not equal to the last bit.
"""

from functools import cache
from pathlib import Path
from typing import Any

from lib.core.records import Record
from lib.evaluate.answers import unused, with_own_function
from lib.evaluate.benchmark import Outcome, plain
from lib.evaluate.benchmarks.functions import Functions
from lib.evaluate.oracles import evalplus as oracle
from lib.sandbox import Limits

FLOOR_SECONDS, FACTOR = 1.0, 4.0  # evalplus/config.py
# EvalPlus gives a task's calls one second each, 60 s together at most; here the reference, which runs in the same
# program, has seconds of its own.
CALLS_SECONDS, REFERENCE_SECONDS = 60.0, 20.0
# Memory as EvalPlus's.
LIMITS = Limits(cpu_seconds=CALLS_SECONDS + REFERENCE_SECONDS, memory_mb=4096, output_kb=1024, packages=("numpy",))
PARTS = {"base": "base_input", "plus": "plus_input"}
FAULTS = {
    "HumanEval/32": "evalplus 0.3.1 never counts it as passed",
    "Mbpp/255": "evalplus 0.3.1 has too little memory for its plus inputs",
}
# The imports are in the tests, where the sandbox sees them: it undoes what a solution has changed in these modules.
# They are inside the function, because a solution may use these names otherwise: `from time import time`.
TESTS = """\
def {graded}(answer):
    import base64, builtins, collections, contextlib, io, marshal, math, pathlib, resource, signal, sys, time, types
    import typing, zlib
    import numpy
    job = {job!r}
    for name, text in {sources!r}:
        module = sys.modules[name] = types.ModuleType(name)
        builtins.exec(text, module.__dict__)
    run = sys.modules[{first!r}].run
    for name, _ in {sources!r}:
        del sys.modules[name]
    found = run(answer, job, module.comparison, {report}.scale)
    {report}.store(found)
    return found["status"] == "pass"
assert {graded}({entry})
"""


@cache
def sources(*files: str) -> list[tuple[str, str]]:
    """Return (module name, text) of files of lib.evaluate.oracles."""
    folder = Path(oracle.__file__).parent
    return [(f"lib.evaluate.oracles.{file}", (folder / f"{file}.py").read_text(encoding="utf-8")) for file in files]


def program(
    problem: Record, solution: str, inputs: list, rule: str | None, time_scale: float, own: str = "", between: str = ""
) -> Record:
    """Return the program that the sandbox runs: a solution, then its answers to `inputs` one after the other.

    `rule` names the task's rule of comparison if it has one; all limits are multiplied by `time_scale`. `own` names a
    module of `lib.evaluate.oracles` whose `comparison` compares instead of EvalPlus's; inputs are then source text.
    `between` is the text between the prompt and the reference.
    """
    job = {
        "inputs": oracle.pack(inputs), "reference": problem["prompt"] + between + problem["canonical_solution"],
        "entry": problem["entry_point"], "rule": rule, "atol": problem.get("atol", 0), "written": bool(own),
        "floor": FLOOR_SECONDS * time_scale, "factor": FACTOR * time_scale,
    }  # fmt: skip
    files = sources("evalplus", own) if own else sources("evalplus")
    entry, graded, report = problem["entry_point"], unused("_graded", solution), unused("_report", solution)
    return {
        "code": with_own_function(solution, entry),
        "tests": TESTS.format(sources=files, first=files[0][0], job=job, entry=entry, graded=graded, report=report),
        "time": (min(len(inputs) * FLOOR_SECONDS, CALLS_SECONDS) + REFERENCE_SECONDS) * time_scale,
        "report": report,
    }


def outcome(seen: Record) -> Outcome:
    """Return what a verdict and the oracle's report mean for the solution; only the verdict can make it pass."""
    match seen:
        case {"verdict": "fail", "report": {"status": str(status), "input": int() | None as number, "why": str(why)}}:
            named = {"timeout": "timeout", "broken": "error"}
            return Outcome(named.get(status, "fail"), why, number, status == "broken")
    return plain(seen)


class EvalPlus(Functions):
    """Functions graded on many inputs, in one program for each of `parts`."""

    limits, again, faults = LIMITS, False, FAULTS
    parts: tuple[str, ...] = tuple(PARTS)
    own = ""  # the module of `lib.evaluate.oracles` that compares instead of EvalPlus's

    def inputs(self, task: str, part: str) -> list[Any]:
        return self.problems[task][PARTS[part]] or []

    def rule(self, task: str) -> str | None:
        """Return the name of the task's rule of comparison, if it has one."""
        return None

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Record]:
        """The solution, then its answers to a part's inputs one after the other."""
        how = self.rule(task), time_scale, self.own, self.between
        problem = self.problems[task]
        return {part: program(problem, solution, self.inputs(task, part), *how) for part in self.parts}

    def meaning(self, task: str, part: str, verdict: Record) -> Outcome:
        return outcome(verdict)

"""What HumanEval+, MBPP+ and EvoEval share: many inputs a task, and answers compared with a reference's (EvalPlus).

Base and plus inputs are two programs, as with EvalPlus, and `plus` tells of the plus inputs alone; a sample passes when
both do. The reference runs in the box after the solution has loaded and before it is called, so that both are timed on
one machine under one load; what is expected is then data, and the reference is gone (its source is not, for a solution
that searches the interpreter's frames: `lib.sandbox` says what it cannot see). A call may take FLOOR_SECONDS or
FACTOR times the reference's time, whichever is more, of processor time (EvalPlus: by the clock).

Faults of evalplus 0.3.1 that are mended here:
- HumanEval/32 never passes: its oracle accepts a root and then forgets to count the input;
- the plus inputs of Mbpp/255 need more memory than its default limit leaves: its own solution fails;
- an answer with an `__eq__` of its own passes, whatever it is; here it fails.
Older versions (before 0.3, those of the published samples) also failed every float that was not equal to the last bit.
"""

from functools import cache
from pathlib import Path
from typing import Any

from lib.core.records import Record
from lib.evaluate.benchmark import Outcome, plain
from lib.evaluate.oracles import evalplus as oracle
from lib.sandbox import Limits

FLOOR_SECONDS, FACTOR = 1.0, 4.0  # evalplus/config.py
# EvalPlus gives all calls of a task a second each or 60 s; the reference, which runs in the same program, has its own.
CALLS_SECONDS, REFERENCE_SECONDS = 60.0, 20.0
# Memory as EvalPlus.
LIMITS = Limits(cpu_seconds=CALLS_SECONDS + REFERENCE_SECONDS, memory_mb=4096, output_kb=1024, packages=("numpy",))
PARTS = {"base": "base_input", "plus": "plus_input"}
FAULTS = {
    "HumanEval/32": "evalplus 0.3.1 never counts it as passed",
    "Mbpp/255": "evalplus 0.3.1 has too little memory for its plus inputs",
}
# Imports stand where the sandbox sees them: it takes back what a solution has changed in these modules.
TESTS = """\
import base64, collections, contextlib, io, marshal, math, pathlib, resource, signal, sys, time, types, typing, zlib
import numpy
def _graded(answer):
    job = {job!r}
    for name, text in {sources!r}:
        module = sys.modules[name] = types.ModuleType(name)
        exec(text, vars(module))
    run = sys.modules[{first!r}].run
    for name, _ in {sources!r}:
        del sys.modules[name]
    found = run(answer, job, module.judge, _report.scale)
    _report.store(found)
    return found["status"] == "pass"
assert _graded(_answer)
"""


@cache
def sources(*files: str) -> list[tuple[str, str]]:
    """Return (module name, text) of files of lib.evaluate.oracles."""
    folder = Path(oracle.__file__).parent
    return [(f"lib.evaluate.oracles.{file}", (folder / f"{file}.py").read_text(encoding="utf-8")) for file in files]


def program(
    problem: Record, solution: str, inputs: list, rule: str | None, wider: float, own: str = "", between: str = ""
) -> Record:
    """Return the program that the sandbox runs: a solution, then `inputs` one after the other.

    `rule` names the task's rule of comparison if it has one; all limits are multiplied by `wider`. `own` names a file
    beside this one whose `judge` compares instead of the oracle's; inputs are then source text. `between` stands
    between the prompt and the reference.
    """
    job = {
        "inputs": oracle.pack(inputs), "reference": problem["prompt"] + between + problem["canonical_solution"],
        "entry": problem["entry_point"], "rule": rule, "atol": problem.get("atol", 0), "floor": FLOOR_SECONDS * wider,
        "factor": FACTOR * wider, "written": bool(own),
    }  # fmt: skip
    files = sources("evalplus", own) if own else sources("evalplus")
    return {
        # The last line makes the function known to the sandbox wherever it comes from, an import included.
        "code": f"{solution}\n\n_answer = {problem['entry_point']}\n",
        "tests": TESTS.format(sources=files, first=files[0][0], job=job),
        "time": (min(len(inputs) * FLOOR_SECONDS, CALLS_SECONDS) + REFERENCE_SECONDS) * wider,
        "report": "_report",
    }


def outcome(seen: Record) -> Outcome:
    """Return what a verdict and the oracle's report say about the solution; only the verdict can say that it passed."""
    match seen:
        case {"verdict": "fail", "report": {"status": str(status), "input": int() | None as number, "why": str(why)}}:
            named = {"timeout": "timeout", "broken": "error"}
            return Outcome(named.get(status, "fail"), why, number, status == "broken")
    return plain(seen)


def inputs(problem: Record, part: str) -> list:
    """Return a task's inputs as they stand in the file."""
    return problem[PARTS[part]] or []


# What the benchmarks that are graded here have in common.
GRADING: dict[str, Any] = {
    "limits": LIMITS, "parts": tuple(PARTS), "inputs": inputs, "outcome": outcome, "again": False, "faults": FAULTS,
}  # fmt: skip

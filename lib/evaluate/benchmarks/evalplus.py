"""What HumanEval+, MBPP+ and EvoEval share: many inputs per task, and answers compared with a reference's (EvalPlus).

Base and plus inputs are two programs, as with EvalPlus, and `plus` covers the plus inputs alone; a sample passes when
both do. A program leaves its answers in a file, and what compares them with the reference's runs apart from it, in a
process where the solution has never been: no expected answer, and no reference, is anywhere near a solution.

A call may take FLOOR_SECONDS of processor time (EvalPlus: by the clock). A solution with one that takes longer runs
again, alone; then a call may take twice that or, where the reference is slow, twice `oracles.evalplus.FACTOR` times
what the reference has just taken on the same machine.

Faults of evalplus 0.3.1 that are fixed here:
- HumanEval/32 never passes: its oracle accepts a root and then forgets to count the input;
- the plus inputs of Mbpp/255 need more memory than its default limit leaves: its own solution fails;
- an answer with an `__eq__` of its own passes, whatever it is; here an object of a solution's own class fails, unless
  the class is made from a builtin type (a named tuple, say): then it counts as what it is made from.
Older versions (before 0.3, those of the published samples) also failed every float that was not equal to the last bit.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lib.core.records import Record
from lib.evaluate.answers import unused, with_own_function
from lib.evaluate.benchmark import Outcome, plain
from lib.evaluate.benchmarks.functions import Functions
from lib.evaluate.oracles import calls
from lib.sandbox import Limits

FLOOR_SECONDS = 1.0  # evalplus/config.py
# EvalPlus gives a task's calls one second each, 60 s together at most; here loading a solution has seconds of its own,
# and so has comparing: calling the reference, and reading large answers.
CALLS_SECONDS, LOADING_SECONDS, COMPARING_SECONDS = 60.0, 20.0, 40.0
# Memory as EvalPlus's.
LIMITS = Limits(cpu_seconds=CALLS_SECONDS + LOADING_SECONDS, memory_mb=4096, output_kb=1024, packages=("numpy",))
PARTS = {"base": "base_input", "plus": "plus_input"}
FAULTS = {
    "HumanEval/32": "evalplus 0.3.1 never counts it as passed",
    "Mbpp/255": "evalplus 0.3.1 has too little memory for its plus inputs",
}
# What calls a solution needs, in the tests, where the sandbox sees it: it undoes what a solution has changed in these
# modules. Inside the function, because a solution may use these names otherwise: `from time import time`.
IMPORTS = (
    "import base64, builtins, contextlib, hashlib, io, marshal, math, os, pickle, resource, signal, struct, sys, time, "
    "types, zlib"
)
TESTS = """\
def {graded}(answer):
    {imports}
    module = sys.modules[{name!r}] = types.ModuleType({name!r})
    builtins.exec({text!r}, module.__dict__)
    found = module.run(answer, {job!r}, {report}.scale)
    {report}.store(found)
    return found["status"] == "ended"
assert {graded}({entry})
"""
# What runs apart from a solution: first the study's own code, which knows no answer, then what compares.
APART = """\
import builtins, sys, types
for name, text in {sources!r}:
    module = sys.modules[name] = types.ModuleType(name)
    builtins.exec(text, module.__dict__)
comparison, oracle = module.comparison, sys.modules[{oracle!r}]
"""
COMPARED = """\
def compared():
    found = oracle.run({job!r}, answers, comparison, told.scale)
    told.store(found)
    return found["status"] == "pass"
assert compared()
"""


@cache
def sources(*files: str) -> list[tuple[str, str]]:
    """Return (module name, text) of files of lib.evaluate.oracles."""
    folder = Path(calls.__file__).parent
    return [(f"lib.evaluate.oracles.{file}", (folder / f"{file}.py").read_text(encoding="utf-8")) for file in files]


def program(
    problem: Record,
    solution: str,
    inputs: list,
    rule: str | None,
    time_scale: float,
    own: str = "",
    between: str = "",
    slow: Mapping[str, float] | None = None,
) -> Record:
    """Return the program that the sandbox runs: a solution, then its answers to `inputs` one after the other.

    `rule` names the task's rule of comparison if it has one; all limits are multiplied by `time_scale`. `own` names a
    module of `lib.evaluate.oracles` whose `comparison` compares instead of EvalPlus's; inputs are then source text.
    `between` is the text between the prompt and the reference, `slow` has the seconds of calls that may take more than
    FLOOR_SECONDS, by the input's number.
    """
    entry, report = problem["entry_point"], unused("_report", solution)
    words = {"entry": entry, "graded": unused("_graded", solution), "report": report}
    more = {number: seconds * time_scale for number, seconds in (slow or {}).items()}
    job = {"inputs": calls.pack(inputs), "written": bool(own), "rule": rule, "limit": FLOOR_SECONDS * time_scale}
    job |= {"slow": more}
    seconds = min(len(inputs) * FLOOR_SECONDS, CALLS_SECONDS) + LOADING_SECONDS
    reference = problem["prompt"] + between + problem["canonical_solution"]
    ((name, text),) = sources("calls")
    return {
        "code": with_own_function(solution, entry),
        "tests": TESTS.format(imports=IMPORTS, name=name, text=text, job=job, **words),
        "time": seconds * time_scale + min(sum(more.values()), CALLS_SECONDS * time_scale),
        "report": report,
        "keep": [calls.FILE],
        "apart": apart(job | {"reference": reference, "entry": entry, "atol": problem.get("atol", 0)}, time_scale, own),
    }


def apart(job: Record, time_scale: float, own: str) -> Record:
    """Return the program that compares the answers (`lib.evaluate.oracles.evalplus.run` says what `job` has)."""
    return {
        "code": apart_code(own),
        "tests": COMPARED.format(job=job),
        "report": "told",
        "time": COMPARING_SECONDS * time_scale,
    }


def apart_code(own: str = "") -> str:
    """Return the code of a program that compares: `oracle`, and the `comparison` of EvalPlus or of the module `own`."""
    files = sources("calls", "evalplus", *([own] if own else []))
    return APART.format(sources=files, oracle=files[1][0])


def outcome(seen: Record) -> Outcome:
    """Return what a verdict means for the solution: only what compared its answers, apart from it, can make it pass."""
    match seen.get("apart"), seen.get("report"):
        case None, _:  # it has left no answers
            return plain(seen) if seen["verdict"] != "pass" else Outcome("fail", "left no answers")
        case {"verdict": "pass"}, _:
            return plain(seen)
        case {"verdict": "fail", "report": {"status": "missing", "input": number}}, told:
            match told:
                case {"status": "late" | "failed" as how, "why": str(why), "input": int(last)} if last == number:
                    return Outcome("timeout" if how == "late" else "fail", why, number)
            found = plain(seen)
            return found if found.status != "pass" else Outcome("fail", "left no answer", number)
        case {"verdict": "fail", "report": {"status": status, "input": number, "why": why}}, _:
            return Outcome("error" if status == "broken" else "fail", why, number, status == "broken")
        case found, _:
            return Outcome("error", f"its answers could not be compared: {found['detail']}")


class EvalPlus(Functions):
    """Functions graded on many inputs, in one program, and one apart from it, for each of `parts`."""

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

    def repeated(self, task: str, solution: str, part: str, time_scale: float, seen: Record) -> Record:
        """Also with more time for the calls whose reference was seen to be slow."""
        match seen:
            case {"apart": {"report": {"slow": dict(slow)}}}:
                how = self.rule(task), time_scale, self.own, self.between, slow
                return program(self.problems[task], solution, self.inputs(task, part), *how)
        return super().repeated(task, solution, part, time_scale, seen)

    def meaning(self, task: str, part: str, verdict: Record) -> Outcome:
        return outcome(verdict)

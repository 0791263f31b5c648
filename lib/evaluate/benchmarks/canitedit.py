"""CanItEdit (Cassano et al. 2024): 105 programs to be edited, each by a detailed and by a terse instruction.

A task is a program and one of its two instructions; its answer is the whole program after the edit, which must pass
tests that the model does not see. What is asked is a bug's correction, a further feature or a better version of one:
corrective, adaptive, perfective. As in the authors' pipeline (github.com/nuprl/CanItEdit, MultiPL-E's evaluator), the
`__main__` part of an answer runs, too, and tests run in its own module.

Beside pass@1 there is the *excess code* of what passes: how much of it the tests never reach. It is 100 times the
number of lines that coverage.py calls missing, ranges with all that lies in them, over the lines of difflib.Differ
between the program before and after, unchanged ones included, as the authors' pass_k.py computes it: a mean over a
task's passing samples, then over tasks that have any. An answer could forge it, as it is measured in the process that
runs the answer; no verdict rests on it.

Differences from the authors' evaluator: an answer that ends the program before its tests is a failure, and so is one
that passes with changed expected values or whatever it computes (`lib.sandbox`); time is the processor's, SECONDS of it
for most programs and LONGER where tests measure time. Programs that need a library which the interpreter lacks are
left out by name: five need torch or vllm, which `make benchmark-env` does not install. Kept is a fault of the tests: in
nine programs an `assert False` after what should have raised is caught by their own handler, so that it never fails.
"""

import ast
import base64
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from lib.core.markdown import blocks
from lib.core.programs import parsed
from lib.core.records import Record
from lib.core.template import render_prompt
from lib.evaluate.benchmark import RESPONSE_PREFIX, Benchmark, Outcome, means, plain, shares
from lib.evaluate.data import problems_of
from lib.evaluate.environments import python_of
from lib.evaluate.oracles import canitedit as oracle
from lib.evaluate.sources import CANITEDIT
from lib.generate.protocol import stopped
from lib.sandbox import Limits
from lib.sandbox.interpreters import interpreter, package_paths

OWN = Path(__file__).with_name("own") / "canitedit.json"
INSTRUCTIONS = ("descriptive", "lazy")
KINDS = ("corrective", "adaptive", "perfective")
# The authors' two formats (generate_completions.py, 2024): headers for base models, whose answer ends at the next one,
# and a conversation, here in one turn of the study's template, with the study's own sentences before it.
DIRECT = "## Code Before:\n{before}\n## Instruction:\n{instruction}\n## Code After:\n"
DIRECT_STOP = ("## Code After:", "## Instruction:", "## Code Before:")
CHAT = (
    "You edit Python programs. Below is a program, and an instruction that says how it is to be changed. "
    "Answer with the whole program as it is after the change, and with nothing else.\n\n"
    "## Code Before\n```py\n{before}\n```\n\n## Instruction\n{instruction}\n\n## Code After"
)
# The evaluator gives 15 s by the clock. A timeout costs many times this: it is run again, alone and with more time.
SECONDS, LONGER = 5.0, 15.0
MEMORY, OUTPUT = 4096, 1024  # MiB, KiB; the container has no limit, and drops what is printed beyond 2 KiB
PRELOAD = ("coverage", "numpy", "pandas", "scipy.cluster.hierarchy", "scipy.stats", "sklearn.decomposition", "z3")
PRELOAD += ("sklearn.linear_model", "autograd")
CATCHING, NOTHING = ("Exception", "BaseException", "AssertionError"), ("pass", "assert True")  # in tests' handlers
MOST = 1000  # percent; more, and less than nothing, is no measurement


def load(path: str | Path | None = None) -> "CanItEdit":
    """Return CanItEdit, from a path or from where `lib.evaluate.data.locate` finds it, with its locked interpreter.

    Missing when the data are nowhere or the interpreter is not installed; StudyError for other data.
    """
    facts, programs = problems_of(CANITEDIT, path)
    return CanItEdit("CanItEdit", programs, python_of("canitedit"), **facts)


def own() -> "CanItEdit":
    """Return three edits of the study's own, one of each kind, which need nothing but the study's interpreter."""
    found = CanItEdit("edits of our own", {row["full_name"]: row for row in json.loads(OWN.read_text("utf-8"))})
    found.quotable = True
    return found


class CanItEdit(Benchmark):
    """Tasks are `program/descriptive` and `program/lazy`; `absent` names the library that an excluded program needs."""

    raw_stop, measures, quotable = DIRECT_STOP, ("excess_code",), False

    def __init__(self, name: str, programs: Mapping[str, Record], python: str = "", **facts: str) -> None:
        """`python` is the interpreter that grades, "" the study's own, in which programs can import coverage alone."""
        packages = () if python else ("coverage",)
        self.limits = Limits(SECONDS, MEMORY, output_kb=OUTPUT, packages=packages, python=python)
        held = importable(self.limits)
        if python:
            preload = tuple(module for module in PRELOAD if module.partition(".")[0] in held)
            self.limits = replace(self.limits, preload=preload)
        lacking = {program: needed(row) - held for program, row in programs.items()}
        self.absent = {program: ", ".join(sorted(names)) for program, names in lacking.items() if names}
        tasks = [(f"{program}/{which}", row, which) for program, row in programs.items() for which in INSTRUCTIONS]
        problems = {task: row | {"instruction": row[f"instruction_{which}"]} for task, row, which in tasks}
        kept = {task: row for task, row in problems.items() if task.partition("/")[0] not in self.absent}
        super().__init__(name, kept, **facts)
        self.elsewhere = frozenset(problems) - frozenset(kept)

    def kind(self, task: str) -> str:
        """Return the kind of edit that a task asks for, one of KINDS."""
        return self.problems[task]["taxonomy"]["change_kind"]

    def values(self, samples: Sequence[Record]) -> dict[str, dict[str, float]]:
        """All tasks, those of each kind of edit and of each instruction; and the excess code of what passes."""
        found = shares(samples)
        parts = {kind: [task for task in found if self.kind(task) == kind] for kind in KINDS}
        parts |= {which: [task for task in found if task.endswith(f"/{which}")] for which in INSTRUCTIONS}
        named = {f"{self.name} {name}": {task: found[task] for task in tasks} for name, tasks in parts.items() if tasks}
        excess = {task: value / 100 for task, value in means(samples, "excess_code").items()}
        return {self.name: found} | named | {f"{self.name} excess code": excess}

    # ---- asking

    def prompt(self, task: str) -> str:
        """The conversation's format in the template, with an open fence."""
        return render_prompt(CHAT.format(**fields(self.problems[task]))) + RESPONSE_PREFIX

    def raw_prompt(self, task: str, form: str) -> str:
        """The format with headers."""
        return DIRECT.format(**fields(self.problems[task]))

    # ---- reading

    def solution(self, task: str, completion: str) -> str:
        """Return the first fenced block, which the prompt has opened.

        Where that is no Python because a fence stands in a string, the block ends at a later one.
        """
        return first_block(f"{RESPONSE_PREFIX}\n{completion.removeprefix(chr(10))}")

    def raw_solution(self, task: str, completion: str) -> str:
        """Return all up to the next header."""
        kept = stopped(completion, self.raw_stop)
        return completion if kept is None else kept

    def completed(self, task: str, completion: str) -> str:
        """Return the first fenced block of an answer, all of it where there is none."""
        return first_block(completion) if re.search("^```", completion, re.MULTILINE) else completion

    def canonical(self, task: str) -> str:
        return self.problems[task]["after"]

    # ---- grading

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Record]:
        """The program and its tests, which decide; and both in a file, of which the lines that are run are measured."""
        tests = self.problems[task]["tests"]
        seconds = {"time": time_scale * LONGER} if "timeit" in tests else {}
        files = {oracle.BEFORE: self.problems[task]["before"], oracle.AFTER: f"{solution}\n"}
        files[oracle.WHOLE] = f"{solution}\n{tests}"
        return {
            "tests": {"code": with_main(solution), "tests": as_they_act(tests), **seconds},
            "lines": {"code": measuring(), "tests": None, "files": files, "keep": [oracle.FOUND], **seconds},
        }

    def meaning(self, task: str, part: str, verdict: Record) -> Outcome:
        """A measurement that did not come to its end is not repeated."""
        if part == "lines":
            return Outcome("pass" if verdict["verdict"] == "ended" else "fail", verdict["detail"])
        return plain(verdict)

    def outcome(self, task: str, verdicts: Mapping[str, Record]) -> Outcome:
        """What the tests say; `excess_code` (percent) of what passes, None where it is not known."""
        found = super().outcome(task, {"tests": verdicts["tests"]})
        measured = found.status == "pass" and verdicts["lines"]["verdict"] == "ended"
        excess = excess_code(verdicts["lines"]["left"][oracle.FOUND]) if measured else None
        return found._replace(values={**found.values, "excess_code": excess})


def fields(problem: Record) -> dict[str, str]:
    """Return what a prompt is filled with."""
    return {name: problem[name] for name in ("before", "instruction")}


def first_block(text: str) -> str:
    """Return the code of a text's first fenced block, to the end where it is not closed; "" when there is none."""
    return next((block.code for block in blocks(f"{text}\n```", r"[^`\n]*")), "")


def with_main(code: str) -> str:
    """Return a program whose `__main__` part runs although tests follow: the sandbox leaves out what it recognises."""
    tree = parsed(code) if "__main__" in code else None
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)] if tree else []
    names = [one for node in compared for one in (node.left, *node.comparators) if isinstance(one, ast.Name)]
    places = {(name.lineno - 1, name.col_offset) for name in names if name.id == "__name__"}
    lines = re.sub(r"\r\n?", "\n", code).encode("utf-8", "surrogatepass").split(b"\n")  # a tree's columns are bytes
    for row, column in sorted(places, reverse=True):
        end = column + len("__name__")
        lines[row] = lines[row][:column] + b"(__name__ + '')" + lines[row][end:]
    return b"\n".join(lines).decode("utf-8", "surrogatepass") if places else code


@cache
def as_they_act(tests: str) -> str:
    """Return tests with `pass` for an `assert False` that their own handler catches and drops, and that so never fails.

    The sandbox takes the failure for one that an answer has hidden.
    """
    lines = tests.split("\n")
    for node in ast.walk(ast.parse(tests)):
        if not isinstance(node, ast.Try) or node.orelse or node.finalbody:
            continue
        catching = next((one for one in node.handlers if one.type is None or ast.unparse(one.type) in CATCHING), None)
        last, dropped = node.body[-1], catching and all(ast.unparse(one) in NOTHING for one in catching.body)
        if dropped and ast.unparse(last).startswith("assert False"):
            taken = slice(last.lineno - 1, last.end_lineno)  # and the number of lines stays
            lines[taken] = [" " * last.col_offset + "pass", *[""] * (len(lines[taken]) - 1)]
    return "\n".join(lines)


@cache
def measuring() -> str:
    """Return the program that measures the lines."""
    return Path(oracle.__file__).read_text("utf-8")


def excess_code(left: str | None) -> float | None:
    """Return the excess code (percent) of what `lib.evaluate.oracles.canitedit` has left, None when it is malformed."""
    try:
        found = json.loads(base64.b64decode(left or ""))
        excess = 100 * found["uncovered"] / found["lines"]
        return excess if 0 <= excess <= MOST else None
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):  # the answer's own
        return None


def needed(program: Record) -> set[str]:
    """Return the modules that a program after its edit, or its tests, import besides the standard library's."""
    found = set[str]()
    for node in (node for text in ("after", "tests") for node in ast.walk(ast.parse(program[text]))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names


def importable(limits: Limits) -> set[str]:
    """Return the names at the top level of the packages that a program with these limits can import."""
    site = interpreter(limits.python).site
    names = [path.name for path in site.iterdir()] if site else package_paths(limits.packages)
    return {name.partition(".")[0] for name in names}

"""From answers to programs: whole or a body, `from __future__` first, and no name of the tests in the answer's way."""

import ast
import json
import os
import subprocess
import sys

import pytest

from lib.core.paths import ROOT
from lib.core.programs import with_futures_first
from lib.evaluate.answers import is_body, unused
from lib.evaluate.benchmark import last_block
from lib.evaluate.benchmarks import humaneval
from lib.evaluate.grading import grade, grade_solutions

HUMANEVAL = humaneval.load()
CASES = ROOT.parent / "shared/cases/evaluate"
PRIME = "n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))"
# Answers to HumanEval/31, is_prime(n), that are right: a body under the signature, or a program that binds the name.
RIGHT = {
    "a helper inside whose name begins with the function's": (
        f"    def is_prime_to(d):\n        return n % d\n    return {PRIME.replace('n % d ', 'is_prime_to(d) ')}\n"
    ),
    "the function's name again inside": f"    def is_prime(n):\n        return {PRIME}\n    return is_prime(n)\n",
    "the name in a string": f'    note = """\ndef is_prime(n):\n"""\n    return {PRIME}\n',
    "a comment, then the body": f"# def is_prime(n):\n    return {PRIME}\n",
    "a body, then more": f"    return {PRIME}\n\ndef main():\n    print(is_prime(3))\n",
    "carriage returns": f"    found = {PRIME}\r\n    return found\r\n",
    "the prompt again": HUMANEVAL.problems["HumanEval/31"]["prompt"] + f"    return {PRIME}\n",
    "the bare prompt, then the function": (
        HUMANEVAL.problems["HumanEval/31"]["prompt"] + f"\n\ndef is_prime(n):\n    return {PRIME}\n"
    ),
    "an expression": f"is_prime = lambda n: {PRIME}\n",
    "another name": f"def holds(n):\n    return {PRIME}\n\nis_prime = holds\n",
    "a method": (
        f"class Solution:\n    def is_prime(self, n):\n        return {PRIME}\n\nis_prime = Solution().is_prime\n"
    ),
    "an object": f"class Prime:\n    def __call__(self, n):\n        return {PRIME}\n\nis_prime: Prime = Prime()\n",
    "a class": f"class is_prime:\n    def __new__(cls, n):\n        return {PRIME}\n",
    "a branch": f"if True:\n    def is_prime(n):\n        return {PRIME}\nelse:\n    is_prime = None\n",
    "decorated": f"from functools import cache\n\n@cache\ndef is_prime(n):\n    return {PRIME}\n",
    "a future": f"from __future__ import annotations\n\ndef is_prime(n: Number) -> Truth:\n    return {PRIME}\n",
    "helpers with the names of the tests": (
        f"METADATA = 2\ncandidate = 1\ndef check(n, d):\n    return n % d\n"
        f"def is_prime(n):\n    return {PRIME.replace('n % d ', 'check(n, d) ').replace('range(2', 'range(METADATA')}\n"
    ),
}
WRONG = {
    "a method only": f"class Solution:\n    def is_prime(self, n):\n        return {PRIME}\n",
    "inside another function": f"def outer():\n    def is_prime(n):\n        return {PRIME}\n    return is_prime\n",
    "in a string only": f'text = """\ndef is_prime(n):\n    return {PRIME}\n"""\n',
    "a longer name": f"def is_prime_number(n):\n    return {PRIME}\n",
    "a coroutine": f"async def is_prime(n):\n    return {PRIME}\n",
    "nothing": "",
    "prose": "The function is_prime does that.",
    "a lone surrogate": f"def is_prime(n):\n    '\ud800'\n    return {PRIME}\n",
    "a NUL": f"def is_prime(n):\n    '\0'\n    return {PRIME}\n",
    "cut off": f"def is_prime(n):\n    return {PRIME[:-5]}",
    "deep": f"is_prime = {'-' * 100_000}1",
}


def test_an_answer_is_a_program_or_a_body_by_its_syntax():
    """Every right answer passes and no wrong one does, whatever text looks like a definition of the function."""
    answers = [f"\n{text}```\n" for text in (*RIGHT.values(), *WRONG.values())]
    samples = grade(HUMANEVAL, {"HumanEval/31": answers})
    found = dict(zip((*RIGHT, *WRONG), samples, strict=True))
    assert {name: found[name]["detail"] for name in RIGHT if not found[name]["passed"]} == {}
    assert [name for name in WRONG if found[name]["passed"] or not found[name]["detail"]] == []
    unread = ("nothing", "a lone surrogate", "a NUL")
    assert [found[name]["verdict"] for name in unread] == ["error"] * len(unread)


def test_a_body_without_the_prompts_last_newline_goes_on_the_next_line():
    """A prompt may end with the docstring's quotes."""
    own = humaneval.HumanEval("Own", {"0": {"prompt": "def same(x):\n    '''Itself.'''", "entry_point": "same"}})
    assert ast.parse(own.solution("0", "\n    return x\n```"))


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("    return x", True),
        ("    def f(x):\n        return x\n    return f(x)", True),
        ("def f(x):\n    return x", False),
        ("def f(x):\n    return (", False),
        ("    return (", True),
        ("return x", False),
        ("", False),
    ],
)
def test_what_is_a_body(code, body):
    """What parses is a program; what does not, but does under the signature, is a body; else its first line decides."""
    assert is_body(code, "def f(x):\n    '''F.'''\n") == body


FUTURE = "from __future__ import annotations"
PLACED = {
    "at the beginning": f"{FUTURE}\nfrom typing import List\n",
    "behind a docstring": f'"""Text."""\n{FUTURE}\n',
    "behind an import": f"import math\n{FUTURE}\n",
    "beside an import": f"import math; {FUTURE}; import re\n",
    "behind text of several bytes": f"x = 'äöü€𝄞'; {FUTURE}; y = x\n",
    "in brackets": "import math\nfrom __future__ import (\n    annotations,  # all of them\n    division,\n)\nx = 1\n",
    "with a comment": f"import math\n{FUTURE}  # for hints\n",
    "twice": f"{FUTURE}\nimport math\n{FUTURE}; from __future__ import division\n",
    "after a carriage return": f"import math\r\n{FUTURE}\r\nx = 1\r\n",
    "continued": "import math\nfrom __future__ import \\\n    annotations\nx = 1\n",
}


@pytest.mark.parametrize("name", PLACED)
def test_futures_come_first_and_nothing_else_moves(name):
    """The program compiles, and without the futures and the `pass` in their place it is the same."""

    def rest(text):
        kept = (node for node in ast.parse(text).body if getattr(node, "module", None) != "__future__")
        return [ast.dump(node) for node in kept if not isinstance(node, ast.Pass)]

    code = f"import math\n\n{PLACED[name]}"
    moved = with_futures_first(code)
    compile(moved, "moved", "exec", dont_inherit=True)
    assert moved.startswith("from __future__ import ") and rest(moved) == rest(code)


def test_what_has_no_future_stays_as_it_is():
    """A name in a string, a relative import, and text that is no Python."""
    for code in (f"x = '{FUTURE}'\n", "from .__future__ import annotations\n", f"import math\n{FUTURE}\ndef f(:\n"):
        assert with_futures_first(code) == code


def test_a_future_may_stand_behind_a_preamble():
    """22 of HumanEval's prompts have one: the answer that begins with a future is a valid program for each of them."""
    fronted = {task: p for task, p in HUMANEVAL.problems.items() if humaneval.preamble(p["prompt"])}
    assert len(fronted) >= 22
    answers = {
        task: f"\n{FUTURE}\n{problem['prompt']}{problem['canonical_solution']}```" for task, problem in fronted.items()
    }
    for task, answer in answers.items():
        compile(HUMANEVAL.solution(task, answer), task, "exec", dont_inherit=True)
    assert [s["task_id"] for s in grade(HUMANEVAL, answers) if not s["passed"]] == []


def test_an_answers_own_late_future_is_no_reason_to_fail():
    """It is moved, too: a wrong answer fails for what it returns."""
    text = f"\nfrom typing import List\n{FUTURE}\n\ndef separate_paren_groups(p: str) -> List[str]:\n    return []\n"
    (sample,) = grade(HUMANEVAL, {"HumanEval/1": text})
    assert sample["verdict"] == "fail" and "SyntaxError" not in sample["detail"]


IMPORTED = [
    "from math import gcd as greatest_common_divisor\n",
    "import math\n\ngreatest_common_divisor = math.gcd\n",
    "try:\n    from math import gcd as greatest_common_divisor\nexcept ImportError:\n    pass\n",
    "if True:\n    from math import gcd as greatest_common_divisor\n",
]


def test_an_imported_function_is_an_answer():
    """However the import is written; a wrong one fails."""
    pairs = [("HumanEval/13", code) for code in (*IMPORTED, "from math import lcm as greatest_common_divisor\n")]
    assert [s["verdict"] for s in grade_solutions(HUMANEVAL, pairs)] == ["pass"] * len(IMPORTED) + ["fail"]


def test_a_new_name_is_in_no_text():
    assert unused("_graded", "def f(): pass") == "_graded"
    assert unused("_graded", "_graded = __graded_ = 1") == "_graded__"


@pytest.mark.shared
def test_the_handed_over_answers_pass():
    """Answers after public reports: as samples of a file, without the prompt's code."""
    rows = map(json.loads, (CASES / "he.jsonl").read_text().splitlines())
    samples = grade_solutions(HUMANEVAL, [(row["task_id"], row["solution"]) for row in rows])
    assert [s["detail"] for s in samples if not s["passed"]] == [] and len(samples) == 4


@pytest.mark.shared
@pytest.mark.parametrize("name", ["future_import", "def_in_factorial"])
def test_the_handed_over_scripts_print_what_is_right(name):
    """All of their answers pass, except the one for HumanEval/1, which is wrong and says so."""
    call = [sys.executable, CASES / f"{name}.py"]
    done = subprocess.run(call, cwd=ROOT, env=os.environ | {"PYTHONPATH": "."}, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("HumanEval/")]
    wrong = [line for line in lines if line.split()[2] != "pass"]
    assert len(lines) > 1 and [line.split()[0] for line in wrong] == ["HumanEval/1"] * (name == "future_import"), done
    assert "SyntaxError" not in done.stdout


def test_a_fence_in_a_string_does_not_end_the_last_block() -> None:
    code = 'def fence(text):\n    return f"""\n```\n{text}\n```\n"""'
    assert last_block(f"\n{code}\n```\nThat is all.") == code
    assert last_block("\nx = 1\n```\nand\n```python\ny = 2\n```\n") == "y = 2"

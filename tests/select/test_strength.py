"""Strength of tests: assertions counted, coverage measured, mutants made, run and summarised; the mix compared."""

import ast
import json
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import sandbox
from lib.core import figures
from lib.core.statistics import wilson
from lib.sandbox import Limits
from lib.select import mix, strength

CODE = '''
import math

def grade(points: int, best: int = 10) -> str:
    """A letter for 8 points."""
    if points > best or points < 0:
        raise ValueError(f"{points:>3} of {best}")
    share = math.ceil(100 * points / best)
    return "good" if share >= 50 else "bad"

if __name__ == "__main__":
    print(grade(3) + "!")
'''.strip()
WEAK = "assert grade(9) == 'good'"
STRONG = """
import unittest

class TestGrade(unittest.TestCase):
    def test_letters(self):
        self.assertEqual([grade(n) for n in (0, 4, 5, 10)], ["bad", "bad", "good", "good"])
        self.assertEqual([grade(490, 1000), grade(491, 1000), grade(5000, 9999)], ["bad", "good", "good"])

    def test_errors(self):
        for points in (-1, 11):
            with self.assertRaises(ValueError) as caught:
                grade(points)
            self.assertEqual(str(caught.exception), f"{points:>3} of 10")

if __name__ == "__main__":
    unittest.main(exit=False)
""".strip()


def program(name: str, tests: str, code: str = CODE) -> dict[str, Any]:
    return {"id": name, "code": code, "tests": tests, "response": "w " * 30}


@pytest.mark.parametrize(
    ("tests", "count"),
    [
        ("print(f(1))", 0),
        ("assert f(1) == 2\nassert f(2) == 3", 2),
        (STRONG, 4),
        ("def test():\n    with pytest.raises(ValueError):\n        f(0)\n    np.testing.assert_allclose(1, 1)", 2),
        ("'assert f(1)'  # assert f(2)", 0),
    ],
)  # fmt: skip
def test_assertions(tests: str, count: int) -> None:
    assert strength.assertions(tests) == count


def measured(made: dict[str, Any]) -> tuple[int, int] | None:
    """What a coverage program reports when it runs in a plain interpreter."""
    report = f"import json\nclass {made['report']}:\n    def store(value): print(json.dumps(value))\n"
    source = f"{report}{made['code']}\n{made['tests']}"
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    return strength.statements_covered({"report": json.loads(ended.stdout or "null")})


PARTS = "class C:\n    def __init__(self):\n        self.n = 0\n\n    def up(self):\n        self.n += 1\n"
METHODS = "class TestC:\n    def test_up(self):\n        assert C().up() is None"
GUARDED = """
import sys, unittest
assert C()
if __name__ == "__main__":
    unittest.main(exit=False)
    C().up()
    sys.exit(0)
"""


@pytest.mark.parametrize(
    ("code", "tests", "expected"),
    [
        (CODE, WEAK, (6, 8)),  # neither the raise nor the guarded call
        (CODE, STRONG, (7, 8)),
        (CODE, "def test_it():\n    assert grade(1) == 'bad'", (6, 8)),
        (CODE, "assert True", (3, 8)),  # import, def and if run when the response is loaded
        (PARTS, "assert C()", (4, 5)),
        (PARTS, METHODS, (5, 5)),
        (
            PARTS,
            METHODS.replace("    def", "    def setup_method(self): self.c = C()\n    def", 1).replace(
                "C().up", "self.c.up"
            ),
            (5, 5),
        ),  # noqa: E501
        (PARTS, GUARDED, (5, 5)),
        (PARTS, "from __future__ import annotations\nassert C()", (4, 5)),
        (PARTS, "assert C() is None", None),  # tests that fail measure nothing
    ],
)
def test_coverage_program(code: str, tests: str, expected: tuple[int, int] | None) -> None:
    assert measured(strength.coverage_program(program("a", tests, code))) == expected


def test_coverage_in_the_sandbox() -> None:
    made = [strength.coverage_program(program(name, tests)) for name, tests in (("weak", WEAK), ("strong", STRONG))]
    verdicts = list(sandbox.run_programs(made, Limits(packages=("coverage",)), workers=1))
    assert [strength.statements_covered(verdict) for verdict in verdicts] == [(6, 8), (7, 8)], verdicts
    assert {verdict["verdict"] for verdict in verdicts} == {"notest"}, "a pass would run three times"


def test_a_coverage_verdict_without_numbers() -> None:
    assert strength.statements_covered({"report": {"covered": 3, "statements": 4}}) == (3, 4)
    for report in (None, {}, {"covered": 3}, {"covered": "3", "statements": 4}, [3, 4]):
        assert strength.statements_covered({"report": report}) is None


def changed(mutant: str, code: str) -> int:
    """The number of nodes or constants in which the trees differ, counted by walking both in parallel."""
    pairs = zip(ast.walk(ast.parse(code)), ast.walk(ast.parse(mutant)), strict=True)
    return sum(
        type(one) is not type(other) or (isinstance(one, ast.Constant) and one.value != getattr(other, "value", None))
        for one, other in pairs
    )


def test_mutants_change_one_place_and_never_the_docstring_or_an_annotation() -> None:
    made = strength.mutants(CODE, 99, random.Random(0))
    assert len(made) == len(set(made))
    assert all(changed(mutant, CODE) == 1 for mutant in made)
    assert all('"""A letter for 8 points."""' in mutant and ":>3}" in mutant for mutant in made)
    assert all("points: int, best: int=" in mutant and "-> str" in mutant for mutant in made)
    assert all("print(grade(3) + '!')" in mutant and mutant.count("return") == 1 for mutant in made)
    for part in (
        "points >= best or", "points > best and", "points <= 0", "points < 1", "best: int=11", "101 * points",
        "100 / points", "points * best", "share > 50", "share >= 51", "'goodx'", "'badx'", " of x{best}",
    ):  # fmt: skip
        assert any(part in mutant for mutant in made), part
    assert len(made) == 13


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 20), st.integers())
def test_mutants_are_counted_and_drawn(count: int, seed: int) -> None:
    everything = set(strength.mutants(CODE, 99, random.Random(0)))
    made = strength.mutants(CODE, count, random.Random(seed))
    assert len(made) == min(count, len(everything)) and set(made) <= everything
    assert made == strength.mutants(CODE, count, random.Random(seed))


@pytest.mark.parametrize(
    ("line", "mutant"),
    [
        ("x = True", "x = False"), ("x = 0.5", "x = 1.5"), ("x = ''", "x = 'x'"), ("x += y", "x -= y"),
        ("x = y % z", "x = y * z"), ("x = y in z", "x = y not in z"), ("x = y is z", "x = y is not z"),
        ("x = y ** z", "x = y * z"), ("x = y // z", "x = y / z"), ("x = y & z", "x = y | z"), ("x = y @ z", None),
        ("x = None", None), ("x = y", None), ("'text'", None), ("x: 'int'", None), ("x = 1e300", None), ("x =", None),
    ],
)  # fmt: skip
def test_each_kind_of_change(line: str, mutant: str | None) -> None:
    assert strength.mutants(line, 9, random.Random(0)) == ([] if mutant is None else [mutant])


def test_tests_kill_mutants_in_the_sandbox() -> None:
    programs = [program("strong", STRONG), program("weak", WEAK)]
    made = list(strength.mutant_programs(programs, 99, seed=1))
    assert [p["id"] for p in made[:2]] == ["strong:0", "strong:1"] and made[0]["tests"] == STRONG
    alone = list(strength.mutant_programs(programs[1:], 99, seed=1))
    assert alone == made[len(alone) :]
    few = [p["code"] for p in strength.mutant_programs(programs, 3, seed=1)]
    assert few[:3] != few[3:], "two programs with the same code get the same draw"
    unchanged = sandbox.run_programs(programs, workers=1)
    assert {verdict["verdict"] for verdict in unchanged} == {"pass"}, "tests that fail anyway would kill every mutant"
    verdicts = list(sandbox.run_programs(made, Limits(cpu_seconds=1), workers=1))
    alive = {verdict["id"].partition(":")[0] for verdict in verdicts if verdict["verdict"] == "pass"}
    found = strength.mutation_summary(verdicts)
    assert alive == {"weak"}
    assert (found["mutants"], found["examples"], found["unbeaten"], found["share"]) == (26, 2, 1, 0.5)
    assert found["killed"] + found["survived"] == 26 and found["low"] < 0.5 < found["high"]


def test_killed_by_hand() -> None:
    verdicts = [{"id": f"a:{n}", "verdict": verdict} for n, verdict in enumerate(("fail", "timeout", "cheat"))]
    verdicts += [
        {"id": "b:0", "verdict": "pass"},
        {"id": "b:1", "verdict": "notest"},
        {"id": "x:y:0", "verdict": "error"},
    ]
    found = strength.mutation_summary(verdicts)
    expected = {"mutants": 6, "killed": 5, "survived": 1, "examples": 3, "unbeaten": 2, "share": 2 / 3}
    assert found == {**expected, **dict(zip(("low", "high"), wilson(2, 3), strict=True))}
    assert strength.mutation_summary([])["share"] is None


def test_wilson_solves_its_equation() -> None:
    for successes, n in ((3, 10), (1, 2), (70, 80)):
        for bound in wilson(successes, n):  # the bounds are the shares from which the data are 1.96 away
            assert abs(successes / n - bound) / (bound * (1 - bound) / n) ** 0.5 == pytest.approx(1.959964)
    assert wilson(0, 5)[0] == 0 and wilson(5, 5)[1] == 1


def test_mix_shows_what_selection_does() -> None:
    programs = [program(f"{difficulty}{n}", WEAK) for difficulty in ("hard", "easy") for n in range(4)]
    parents = {p["id"]: {"parent": p["id"][:-1]} for p in programs}
    tasks = {name: {"id": name, "difficulty": name, "category": "function"} for name in ("easy", "hard")}
    programs[0]["response"] = "w " * 200
    stages = {"all": programs, "passing": programs[3:]}
    tables = mix.mix(stages, parents, tasks, {"easy": 1.0, "hard": 0.25})
    assert tables["difficulty"].to_dict() == {
        "all": {"easy": 4, "medium": 0, "hard": 4}, "passing": {"easy": 4, "medium": 0, "hard": 1}
    }  # fmt: skip
    assert tables["category"].to_dict() == {"all": {"function": 8}, "passing": {"function": 5}}
    assert tables["words"]["all"][["25 to 49", "200 or more"]].tolist() == [7, 1]
    assert tables["pass rate"]["passing"][["none", "to 1/4", "all"]].tolist() == [0, 1, 4]
    assert all(list(table.columns) == ["all", "passing"] for table in tables.values())
    axes = figures.grouped(tables["difficulty"], "Difficulty").axes[0]
    assert sorted(round(bar.get_width()) for bar in axes.patches) == [0, 0, 20, 50, 50, 80]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["all (n = 8)", "passing (n = 5)"]

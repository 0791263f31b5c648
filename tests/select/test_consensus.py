"""Responses of a task against each other's tests, in the sandbox."""

from lib.sandbox import Limits, run_programs
from lib.select.consensus import crossed, support

RIGHT = "def double(n):\n    return 2 * n\n"
WRONG = "def double(n):\n    return n * n\n"
PROGRAMS = [
    {"id": "right", "code": RIGHT, "tests": "assert double(3) == 6"},
    {"id": "lucky", "code": WRONG, "tests": "assert double(2) == 4"},
    {"id": "wrong test", "code": RIGHT, "tests": "assert double(1) == 3"},
    {"id": "another name", "code": "def twice(n):\n    return 2 * n\n", "tests": "assert twice(4) == 8"},
    {"id": "alone", "code": "def f():\n    return 1\n", "tests": "assert f() == 1"},
]
PROGRAMS = [program | {"id": program["id"].replace(" ", "_")} for program in PROGRAMS]
TASKS = {"right": "t", "lucky": "t", "wrong_test": "t", "another_name": "t", "alone": "u"}


def test_each_program_meets_the_tests_of_the_others_of_its_task() -> None:
    made = {program["id"]: program for program in crossed(PROGRAMS, TASKS)}
    assert set(made) == {f"{a} {b}" for a in TASKS for b in TASKS if a != b and not {"alone", "another_name"} & {a, b}}
    assert made["lucky right"]["code"] == WRONG and made["lucky right"]["tests"] == "assert double(3) == 6"


def test_a_lucky_pass_has_less_support_than_a_right_program_that_its_own_test_fails() -> None:
    verdicts = run_programs(list(crossed(PROGRAMS, TASKS)), Limits(cpu_seconds=2.0))
    assert support(verdicts) == {"right": (1, 2), "lucky": (0, 2), "wrong_test": (2, 2)}

"""Python as text: what compiles, and pieces of a program as one."""

import pytest

from lib.core.programs import compiles, joined, parsed, with_futures_first

FUTURE = "from __future__ import annotations"


@pytest.mark.parametrize("code", ["x = (", "x = '\0'", "x = '\ud800'", "(" * 9999 + ")" * 9999, "def f(x, x): ..."])
def test_what_is_no_program(code: str) -> None:
    assert not compiles(code)
    assert (parsed(code) is None) == (code != "def f(x, x): ...")


@pytest.mark.parametrize(
    "pieces",
    [
        ("import re", FUTURE),
        ("import re", f'"""A docstring."""\n{FUTURE}  # why\nx = 1'),
        ("import re", f"{FUTURE}; x = 1"),
        ("import re", f'"é"; {FUTURE}; x = 1\r\ny = 2'),
        (
            "import re",
            f"{FUTURE}\n\nx = 1",
            f"{FUTURE}\nfrom __future__ import generator_stop as g\ny = '''\n{FUTURE}'''",
        ),
        (f"{FUTURE}\nimport re", "from __future__ import (\n    annotations,\n    division,\n)\nx = 1"),
        ("import re\r\nx = 1", f"{FUTURE}\r\ny = 2"),
    ],
)
def test_future_imports_come_first_where_python_wants_them(pieces: tuple[str, ...]) -> None:
    whole = joined(pieces)
    assert compiles(whole) and not compiles("\n\n".join(pieces))
    scope: dict = {}
    exec(compile(whole, "whole", "exec", dont_inherit=True), scope)
    assert scope["re"] and scope["annotations"]
    assert ("x" in scope) == ("x = 1" in "".join(pieces)) and ("y" in scope) == ("y = " in "".join(pieces))
    assert ("'''" in whole) == (f"'''\n{FUTURE}'''" in whole)  # in a string it is text


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        ("x = 1",),
        ("x = 1", "y = 2"),
        (FUTURE, "x = 1"),
        ("# a comment\n", FUTURE),
        (f"x = 1\n{FUTURE}",),  # wrong by itself
        (f"x = 1\n{FUTURE}", "y = 2"),
        ("x = (", FUTURE),
        ("x = 1", "def f():\n    from __future__ import annotations"),
        ("x = 1", "from .__future__ import annotations"),
    ],
)
def test_all_else_is_joined_by_a_blank_line(pieces: tuple[str, ...]) -> None:
    assert joined(pieces) == "\n\n".join(pieces)


def test_a_program_without_futures_is_left_alone() -> None:
    for code in ("x = 1\r\n", "x = (", f"'{FUTURE}'"):
        assert with_futures_first(code) == code

"""EvoEval's comparison of answers, sent into the box after `lib.evaluate.oracles.evalplus`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lib.evaluate.oracles.evalplus import Rule, floats, polynomial


def kind(value: Any) -> str:
    """Return EvoEval's kind of a value: only values of the same kind can be equal."""
    kinds = (bool, int, str, tuple, list, dict, set, type(None), type)
    if floats(value) or (isinstance(value, np.ndarray) and value.dtype in (np.float64, np.float32)):
        return "float"
    return next((one.__name__ for one in kinds if isinstance(value, one)), "other")


def alike(wanted: Any, got: Any) -> bool:
    """Return EvoEval's comparison: the same kind at every level, floats close (rtol 1e-5, atol 1e-6, nan is nan)."""
    name = kind(wanted)
    if kind(got) != name:
        return False
    if name == "float":
        return bool(np.shape(got) == np.shape(wanted) and np.allclose(wanted, got, atol=1e-6, equal_nan=True))
    if name in ("list", "tuple"):
        return len(wanted) == len(got) and all(map(alike, wanted, got))
    if name == "dict":
        return len(wanted) == len(got) and all(key in got and alike(one, got[key]) for key, one in wanted.items())
    return bool(wanted == got)


def comparison(name: str | None, _: float) -> Callable[[Any, Any, Any], bool]:
    """Return EvoEval's comparison for a task ("set/number") that has a rule of its own, or for any other."""
    rule = RULES.get(name or "")
    return lambda given, got, wanted: bool(rule(given, got, wanted, 0)) if rule else alike(wanted, got)


def palindrome(given: Any, got: Any, wanted: Any, _: float) -> bool:
    """Any shortest palindrome that begins with the text, ignoring case."""
    return len(got) == len(wanted) and got.startswith(given[0]) and got.lower() == got[::-1].lower()


def root_between(given: Any, got: Any, wanted: Any, _: float) -> bool:
    """Any root in the interval, or None where there is none."""
    if wanted is None or got is None:
        return got is wanted
    (low, high), coefficients = given[1], given[0]
    return low <= got <= high and abs(polynomial(coefficients, got)) <= 2e-2


def inside(grid: Any, row: int, column: int) -> bool:
    """Whether a grid has this cell; a negative index would find one at its other end."""
    return 0 <= row < len(grid) and 0 <= column < len(grid[row])


def maze(given: Any, got: Any, wanted: Any, _: float) -> bool:
    """Any route through a maze, as a list of steps."""
    if not wanted:
        return got == []
    steps = {"right": (0, 1), "left": (0, -1), "up": (-1, 0), "down": (1, 0)}
    grid, (row, column), end = given
    for step in got:
        row, column = row + steps[step][0], column + steps[step][1]
        if not inside(grid, row, column) or grid[row][column] == 1:
            return False
    return (row, column) == end


def path(given: Any, got: Any, wanted: Any, _: float) -> bool:
    """Any route from cell to neighbouring cell over cells that are not 0."""
    if not wanted:
        return got == []
    grid, start, end = given
    beside = all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in zip(got, got[1:], strict=False))
    free = all(inside(grid, *cell) and grid[cell[0]][cell[1]] != 0 for cell in got)
    return got[0] == start and got[-1] == end and beside and free


def product(given: Any, got: Any, wanted: Any, _: float) -> bool:
    """Any two indexes, in order, whose numbers have the product."""
    if wanted == "No magic today":
        return got == wanted
    first, second = got
    numbers, wanted = given
    return isinstance(got, tuple) and 0 <= first < second < len(numbers) and numbers[first] * numbers[second] == wanted


def sparse_root(given: Any, got: Any, wanted: Any, _: float) -> bool:
    """Any root of the polynomial in which, from the second power on, every other coefficient is omitted."""
    full = given[0][:2] + [number for one in given[0][2:] for number in (0, one)]
    return abs(polynomial(full, got)) <= 1e-6


# Tasks with a rule of comparison of their own, by set and number.
RULES: dict[str, Rule] = {
    "difficult/10": palindrome, "difficult/32": root_between, "creative/26": maze, "creative/30": path,
    "creative/69": product, "subtle/32": sparse_root,
}  # fmt: skip

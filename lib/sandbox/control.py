"""The negative control: every assertion negated or given another expected value, so that an honest response fails it.

An assertion that still holds does not depend on a right answer: an object that equals everything, a patched test
runner. Runs inside the box only: the harness rewrites the tests, the cell changes values that only exist at run time.
Standard library only.
"""

import ast
import math
import random
from collections.abc import Iterable
from typing import Any

DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_PAIRS = {
    "assertTrue": "assertFalse", "assertIsNone": "assertIsNotNone", "assertIsInstance": "assertNotIsInstance",
    "assertIs": "assertIsNot", "assertLess": "assertGreaterEqual", "assertGreater": "assertLessEqual",
}  # fmt: skip
OPPOSITE = _PAIRS | {second: first for first, second in _PAIRS.items()} | {"assertNotIn": "assertIn"}
EQUALITY = {
    "assertEqual", "assertEquals", "assertAlmostEqual", "assertListEqual", "assertTupleEqual", "assertSetEqual",
    "assertDictEqual", "assertCountEqual", "assertSequenceEqual", "assertMultiLineEqual", "assertIn",
}  # fmt: skip
FAR = {"assertAlmostEqual"}  # a value that is nearly the same might still satisfy it
CLOSE = {"isclose", "allclose"}
TRUTH = {"assertTrue", "assertFalse"}  # their second argument is a message, not an expected value
FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.NotIn: ast.In,
}  # fmt: skip
CHANCE = random.Random()  # seeded by the program's text, so that its verdict is the same every time


def named(nodes: Iterable[ast.AST], context: type = ast.Name) -> set[str]:
    """Names read or written anywhere below the nodes; only one of both with `context` ast.Load or ast.Store."""
    found = set()
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Name) and (context is ast.Name or isinstance(node.ctx, context)):
                found.add(node.id)
            elif context is not ast.Load and isinstance(node, (ast.ExceptHandler, *DEFINITION)) and node.name:
                found.add(node.name)
    return found


def call(name: str, *values: ast.expr) -> ast.Call:
    """A call of a plain name."""
    return ast.Call(ast.Name(name, ast.Load()), [*values], [])


def called(node: ast.Call, asserting: dict[str, str]) -> str:
    """The name of the function or method that is called; for one in `asserting`, the method that it is bound to."""
    match node.func:
        case ast.Attribute(attr=name):
            return name
        case ast.Name(id=name):
            return asserting.get(name, name)
    return ""


def asserted(
    node: ast.stmt, asserting: dict[str, str], depends: set[str], expected: str, changed: bool
) -> ast.stmt | None:
    """An assertion as it will be run, `changed` for the control or not; None when the control cannot change it.

    `depends` are the names whose value may come from the response. Expected literals are changed in the source; any
    other expected value passes through the function named `expected`, in both cases, so that the code does not reveal
    the control. The node itself is changed.
    """
    name = called(node.value, asserting) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else ""
    match node:
        case ast.Assert(test=test) if _compared(test, depends, expected, changed):
            pass
        case ast.Expr(value=ast.Call(args=[first, second, *_]) as told) if name in EQUALITY and not any(
            isinstance(value, ast.Starred) for value in (first, second)
        ):
            how = "within" if name == "assertIn" else name in FAR
            told.args[:2] = _other_side(first, second, how, depends, expected, changed)
        case ast.Expr(value=ast.Call(args=[first, *rest]) as told) if name in TRUTH:
            truth = first if name == "assertTrue" else ast.UnaryOp(ast.Not(), first)
            if not _compared(truth, depends, expected, changed) and changed:
                told.args[0] = _negated(first)
            if rest:
                told.args[0] = call(expected, told.args[0], ast.Constant("truth"))
                told.args[1] = call(expected, rest[0], ast.Constant("message"))
        case _ if not changed:
            return node
        case ast.Assert(test=test):
            node.test = ast.Constant(False) if isinstance(test, ast.Constant) else _negated(test)
        case ast.Expr(value=ast.Call() as told) if name in OPPOSITE and not isinstance(told.func, ast.Name):
            _negate(told, name)
        case _:
            return None
    return node


def guarded(test: ast.expr, positive: bool, depends: set[str], expected: str, changed: bool) -> ast.expr:
    """The condition of `if f(1) != 2: raise ...` as it will be run, for the control or not; `positive` if it should
    hold, as in `if f(1) == 2: ... else: raise ...`."""
    if positive:
        return test if _compared(test, depends, expected, changed) or not changed else _negated(test)
    match test:
        case ast.Compare(ops=[ast.NotEq() | ast.NotIn()]):
            _compare(test, depends, expected, changed)
            return test
        case ast.UnaryOp(op=ast.Not(), operand=operand) if _compared(operand, depends, expected, changed):
            return test
    return _negated(test) if changed else test


def _compared(test: ast.expr, depends: set[str], expected: str, changed: bool) -> bool:
    """Whether a condition holds only for an expected value, or one close to it; then that value is changed."""
    match test:
        case ast.Compare(ops=[ast.Eq() | ast.In()]):
            _compare(test, depends, expected, changed)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Compare(ops=[ast.NotEq() | ast.NotIn()]) as compare):
            _compare(compare, depends, expected, changed)
        case ast.Compare(
            left=ast.Call(func=ast.Name(id="abs"), args=[ast.BinOp(op=ast.Sub()) as gap]), ops=[ast.Lt() | ast.LtE()]
        ):
            gap.left, gap.right = _other_side(gap.left, gap.right, True, depends, expected, changed)
        case ast.BoolOp(op=ast.And(), values=values):
            return any([_compared(value, depends, expected, changed) for value in values])
        case ast.Call(func=ast.Name(id="all"), args=[ast.GeneratorExp(elt=each) | ast.ListComp(elt=each)]):
            return _compared(each, depends, expected, changed)
        case ast.Call(args=[first, second, *_]) if called(test, {}) in CLOSE and not isinstance(first, ast.Starred):
            test.args[:2] = _other_side(first, second, True, depends, expected, changed)
        case _:
            return False
    return True


def _negated(test: ast.expr) -> ast.expr:
    match test:
        case ast.Compare(ops=[op]) if type(op) in FLIPPED:
            test.ops = [FLIPPED[type(op)]()]
            return test
    return ast.UnaryOp(ast.Not(), test)


def _negate(told: ast.Call, name: str) -> None:
    if isinstance(told.func, ast.Attribute):
        told.func.attr = OPPOSITE[name]


def _compare(compare: ast.Compare, depends: set[str], expected: str, changed: bool) -> None:
    how = "within" if isinstance(compare.ops[0], (ast.In, ast.NotIn)) else False
    left, right = _other_side(compare.left, compare.comparators[0], how, depends, expected, changed)
    compare.left, compare.comparators[0] = left, right


def _other_side(
    first: ast.expr, second: ast.expr, how: bool | str, depends: set[str], expected: str, changed: bool
) -> tuple[ast.expr, ast.expr]:
    """Both sides of a comparison, with the side that does not come from the response as an expected value."""
    if depends.isdisjoint(named([first])) and not depends.isdisjoint(named([second])):
        return _expected(first, expected, changed, bool(how)), second
    return first, _expected(second, expected, changed, how)


def _expected(value: ast.expr, expected: str, changed: bool, how: bool | str) -> ast.expr:
    """The expression for an expected value, or for a different one in the control."""
    try:
        literal = ast.literal_eval(value)
        made = ast.parse(repr(changed_to(literal, how)), mode="eval").body if changed else value
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        made = call(expected, value, ast.Constant(how))
    for node in ast.walk(made):
        ast.copy_location(node, value)
    return made


def changed_to(value: Any, how: bool | str) -> Any:
    """The control's value: another one (False), one that is far from it (True), a container without its items."""
    if how == "within" and isinstance(value, (str, bytes)):
        return ()  # another text may still contain what is looked for, the empty text always
    return other(value, bool(how))


def other(value: Any, far: bool = False) -> Any:
    """A different value, for plain types one of the same type that is just as plausible.

    With `far` it is not close to the value, nor likely to be in a collection that contains the value.
    """
    match value:
        case bool() | None if far:
            return object()
        case bool():
            return not value
        case int() | float() if far and math.isfinite(value):
            return value + type(value)(10**12 * (1 + abs(value)))
        case int():
            return value + CHANCE.randint(1, 9)
        case float():
            return value + max(CHANCE.randint(3, 9) / 2, abs(value)) if math.isfinite(value) else 1.5
        case complex():
            return value + max(1.0, abs(value))
        case str() if far:
            return f"{CHANCE.getrandbits(64):016x}"
        case str():
            place = CHANCE.randrange(len(value)) if value else 0
            letter = CHANCE.choice([letter for letter in "aeinort" if value[place : place + 1] != letter])
            return value[:place] + letter + value[place + 1 :]
        case bytes():
            return CHANCE.randbytes(8) if far else value[:-1] + bytes([value[-1] ^ 1]) if value else b"0"
        case None:
            return 0
    return _other_collection(value, far)


def _other_collection(value: Any, far: bool) -> Any:
    match value:
        case list() | tuple() if type(value) in (list, tuple):
            kept, last = ([other(one, far) for one in value[:-1]] if far else value[:-1]), value[-1:] or [0]
            return type(value)([*kept, other(last[0], far)])
        case dict() if far:
            return {other(key, far): held for key, held in value.items()} or {"a": 1}
        case dict():
            key = CHANCE.choice(list(value)) if value else "a"
            return {**value, key: other(value.get(key, 0))}
        case set() | frozenset() if far:
            return type(value)([other(one, far) for one in value] or [1])
        case set() | frozenset():
            return value ^ {CHANCE.randint(10**6, 10**7)}
    return object()

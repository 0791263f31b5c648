"""What the tests test, decided by reading the source: which assertions depend on the response, and what to run.

Runs inside the box only, in the harness; parses and compiles, executes nothing. Standard library only.
"""

import ast
import copy
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_PAIRS = {
    "assertTrue": "assertFalse", "assertIn": "assertNotIn", "assertIsNone": "assertIsNotNone",
    "assertIsInstance": "assertNotIsInstance", "assertIs": "assertIsNot",
    "assertLess": "assertGreaterEqual", "assertGreater": "assertLessEqual",
}  # fmt: skip
OPPOSITE = _PAIRS | {second: first for first, second in _PAIRS.items()}
EQUALITY = {"assertEqual", "assertEquals", "assertAlmostEqual", "assertListEqual", "assertTupleEqual", "assertSetEqual",
            "assertDictEqual", "assertCountEqual", "assertSequenceEqual", "assertMultiLineEqual"}  # fmt: skip
CHANCE = random.SystemRandom()


@dataclass(frozen=True)
class Plan:
    """The test program to run: its code, the line of its last statement, how many assertions report when they hold,
    and the packages that it or the response imports."""

    code: CodeType
    last_line: int
    assertions: int
    imported: tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """Random names that exist only while the tests run: tick(i), missed(), expected(value, far), run_case(class)."""

    tick: str
    missed: str
    expected: str
    run_case: str


def plan(code: str, tests: str, entry: str | None, names: Names, control: bool) -> Plan:
    """Parse both halves and make the test program; raises SyntaxError, ValueError, RecursionError or MemoryError.

    An assertion counts when its value depends on a name that the response defines; `names.tick(i)` is called after
    each of these that holds, `names.missed()` when one does not, before anything else can see the exception. With
    `control`, their expected values are changed to others of the same type (or the assertion is turned into its
    opposite), so that an honest program must fail, and only changed assertions are counted. Literals are changed in
    the text; other expected values go through `names.expected`, in the control or not, so that only calling it tells.
    """
    tree = ast.parse(tests)
    last_line = max((node.lineno for node in tree.body), default=0)
    calls = ast.parse("\n".join(_calls(tree, entry, names)))
    tree.body += ast.increment_lineno(calls, tests.count("\n") + 1).body
    response = ast.parse(code)
    imported = {name.partition(".")[0] for half in (response, tree) for name in _imported(half)}
    depends = _dependent(tree, _defined(response))
    writer = _Writer(depends, names, control)
    tree.body = writer.block(tree.body)
    compiled = compile(ast.fix_missing_locations(tree), "<tests>", "exec", dont_inherit=True)
    return Plan(compiled, last_line, writer.count, tuple(sorted(imported)))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _calls(tree: ast.Module, entry: str | None, names: Names) -> list[str]:
    """The calls that a test runner would make: check(entry), test functions and classes that nothing has called."""
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    calls = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and node.name not in called:
            if len(node.args.args) == len(node.args.defaults):
                calls.append(f"{node.name}()")
        elif isinstance(node, ast.ClassDef):
            if any(ast.unparse(base).endswith("TestCase") for base in node.bases):
                calls.append(f"{names.run_case}({node.name})")
            elif node.name.startswith("Test") and not node.bases:
                methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
                calls += [f"{node.name}().{name}()" for name in methods if name.startswith("test")]
    if entry is not None and "check" not in called:
        if not entry.isidentifier():
            raise ValueError(f"entry {entry[:40]!r} is not a name")
        calls.append(f"check({entry})")
    return calls


def _names(nodes: Iterable[ast.AST], context: type = ast.Name) -> set[str]:
    """Names read or written anywhere below the nodes; with `context` ast.Load or ast.Store only those."""
    found = set()
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Name) and (context is ast.Name or isinstance(node.ctx, context)):
                found.add(node.id)
            elif context is not ast.Load and isinstance(node, (ast.ExceptHandler, *DEFINITION)) and node.name:
                found.add(node.name)
    return found


def _defined(tree: ast.Module) -> set[str]:
    """Names that a response binds at its top level, imports left out."""
    found = set()
    for node in tree.body:
        found |= {node.name} if isinstance(node, DEFINITION) else _names([node], ast.Store)
    return found


def _flow(node: ast.AST, depends: set[str], functions: dict[str, list[str]]) -> set[str]:
    """Names that come to depend on the response through one node; rather too many than too few."""

    def touched(*nodes: ast.AST | None) -> bool:
        return not depends.isdisjoint(_names([n for n in nodes if n is not None]))

    match node:
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.NamedExpr() if touched(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return _names(targets)
        case ast.comprehension() if touched(node.iter):
            return _names([node.target])
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if touched(*node.body):
            return {node.name}
        case ast.Call():
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            if touched(node.func):  # f(items) may change items
                return {value.id for value in values if isinstance(value, ast.Name)}
            if touched(*values):  # helper(f) binds a parameter; out.append(f(1)) changes out
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                return set(functions.get(name, ())) or _names([node.func], ast.Load)
        case ast.With() | ast.AsyncWith() if touched(node):  # with redirect_stdout(buffer): f()
            return _names([item.context_expr for item in node.items], ast.Load) | _names([node], ast.Store)
        case _ if isinstance(node, COMPOUND) and touched(node):
            return _names([node], ast.Store)
    return set()


def _dependent(tree: ast.Module, defined: set[str]) -> set[str]:
    """Names in the tests whose value may depend on the response; what the tests define anew hides the response's."""
    own = {node.name for node in tree.body if isinstance(node, DEFINITION)}
    functions = {
        node.name: [arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    carriers = (ast.stmt, ast.Call, ast.comprehension, ast.NamedExpr)
    nodes = [node for node in ast.walk(tree) if isinstance(node, carriers)]
    depends, before = defined - own, -1
    while len(depends) != before:
        before = len(depends)
        for node in nodes:
            depends |= _flow(node, depends, functions)
    return depends


class _Writer:
    """Copies statements, adding a tick after every assertion that depends on the response."""

    def __init__(self, depends: set[str], names: Names, control: bool):
        self.depends, self.names, self.control, self.count = depends, names, control, 0

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [written for node in body for written in self.statement(node)]

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        counts = self.assertion(node)
        if not (counts and isinstance(node, ast.With)):  # what stands under `with raises(...)` is meant to fail
            self.inside(node)
        if not counts:
            return [node]
        changed = self.changed(node)
        if changed is None:
            return [node]
        self.count += 1
        told: list[ast.stmt] = [ast.Expr(_call(self.names.missed)), ast.Raise()]
        ticked = ast.Expr(_call(self.names.tick, ast.Constant(self.count)))
        return [ast.copy_location(ast.Try([changed], [ast.ExceptHandler(None, None, told)], [ticked], []), node)]

    def inside(self, node: ast.stmt) -> None:
        for field in ("body", "orelse", "finalbody"):
            if isinstance(inner := getattr(node, field, None), list):
                setattr(node, field, self.block(inner))
        for part in [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]:
            part.body = self.block(part.body)

    def assertion(self, node: ast.stmt) -> bool:
        """Whether the statement asserts something that depends on the response."""
        match node:
            case ast.Assert():
                checked: list[ast.AST] = [node.test]
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name)) as call) if name.startswith("assert"):
                checked = [*call.args, *call.keywords]
            case ast.With() if any("raises" in ast.unparse(item.context_expr).lower() for item in node.items):
                checked = [*node.body]
            case _:
                return False
        return not self.depends.isdisjoint(_names(checked))

    def changed(self, node: ast.stmt) -> ast.stmt | None:
        """The statement as it is run; in the control with another expected value of the same type, or negated, and None
        when it cannot be changed."""
        node = copy.deepcopy(node)
        if isinstance(node, ast.Assert):
            compare = node.test
            if isinstance(compare, ast.Compare) and [type(op) for op in compare.ops] == [ast.Eq]:
                if self.depends.isdisjoint(_names([compare.left])):
                    compare.left = self.other(compare.left)
                else:
                    compare.comparators = [self.other(compare.comparators[0])]
            elif self.control:
                node.test = ast.UnaryOp(ast.Not(), node.test)
            return node
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name), args=[first, second, *_]) as call) if (
                name in EQUALITY and not any(isinstance(value, ast.Starred) for value in (first, second))
            ):
                which = 0 if self.depends.isdisjoint(_names([first])) else 1
                call.args[which] = self.other(second if which else first, far=name == "assertAlmostEqual")
            case _ if not self.control:
                return node
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name) as function)) if name in OPPOSITE:
                function.attr = OPPOSITE[name]
            case _:
                return None
        return node

    def other(self, value: ast.expr, far: bool = False) -> ast.expr:
        """The expected value to be, or another one in the control."""
        try:
            literal = ast.literal_eval(value)
            changed = ast.parse(repr(other(literal, far)), mode="eval").body if self.control else value
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            changed = _call(self.names.expected, value, ast.Constant(far))
        for node in ast.walk(changed):
            ast.copy_location(node, value)
        return changed


def other(value: Any, far: bool = False) -> Any:
    """A different value of the same type, one that could have been expected, too; with `far`, not nearly the same."""
    match value:
        case bool():
            return not value
        case int() | float() if far and math.isfinite(value):
            return value + type(value)(10**6 * (1 + abs(value)))
        case int():
            return value + CHANCE.randint(1, 9)
        case float():
            return value + max(CHANCE.randint(3, 9) / 2, abs(value)) if math.isfinite(value) else 1.5
        case complex():
            return value + max(1.0, abs(value))
        case str():
            place = CHANCE.randrange(len(value)) if value else 0
            letter = CHANCE.choice([letter for letter in "aeinort" if value[place : place + 1] != letter])
            return value[:place] + letter + value[place + 1 :]
        case bytes():
            return value[:-1] + bytes([value[-1] ^ 1]) if value else b"0"
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)([*value[:-1], other(value[-1]) if value else 1])
        case dict():
            key = CHANCE.choice(list(value)) if value else "a"
            return {**value, key: other(value[key]) if value else 1}
        case set() | frozenset():
            return value ^ {CHANCE.randint(10**6, 10**7)}
        case None:
            return 0
    return object()


def _call(name: str, *values: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), [*values], [])

"""Static analysis of tests: which assertions depend on the response, and which calls a test runner would make.

Runs inside the box only, in the harness; parses and compiles, executes nothing. Standard library only.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

from lib.sandbox.control import DEFINITION, asserted, call, named

COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)


@dataclass(frozen=True)
class Plan:
    """The test program to run: its code, the line of its last statement, the packages that it or the response imports,
    and whether an expected value is not a literal, so that the control must change it at run time."""

    code: CodeType
    last_line: int
    imported: tuple[str, ...]
    runtime: bool


@dataclass(frozen=True)
class Names:
    """Random names of functions given to the tests: tick(i), missed(), expected(value, far), run_case(class)."""

    tick: str
    missed: str
    expected: str
    run_case: str


def plan(code: str, tests: str, entry: str | None, names: Names, control: bool) -> Plan:
    """Parse both halves and make the test program; raises SyntaxError, ValueError, RecursionError or MemoryError.

    An assertion counts when its value depends on a name that the response defines. `names.tick(i)` is called after each
    of these that holds, `names.missed()` when one fails, before any handler sees the exception. With `control` they are
    changed (`lib.sandbox.control`): none should hold, and the program continues after each that fails.
    """
    tree = ast.parse(tests)
    last_line = max((node.lineno for node in tree.body), default=0)
    called = ast.parse("\n".join(calls(tree, entry, names)))
    tree.body += ast.increment_lineno(called, tests.count("\n") + 1).body
    response = ast.parse(code)
    imported = {name.partition(".")[0] for half in (response, tree) for name in _imported(half)}
    depends = _dependent(tree, _defined(response))
    writer = _Writer(depends, names, control)
    tree.body = writer.block(tree.body)
    compiled = compile(ast.fix_missing_locations(tree), "<tests>", "exec", dont_inherit=True)
    runtime = names.expected in named(tree.body)
    return Plan(compiled, last_line, tuple(sorted(imported)), runtime)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def calls(tree: ast.Module, entry: str | None, names: Names) -> list[str]:
    """The calls that a test runner would make: check(entry), test functions and classes that the tests do not call."""
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    made = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and node.name not in called:
            if len(node.args.args) == len(node.args.defaults):
                made.append(f"{node.name}()")
        elif isinstance(node, ast.ClassDef):
            if any(ast.unparse(base).endswith("TestCase") for base in node.bases):
                made.append(f"{names.run_case}({node.name})")
            elif node.name.startswith("Test") and not node.bases:
                made += _methods(node, f"{names.run_case}_one")
    if entry is not None and "check" not in called:
        if not entry.isidentifier():
            raise ValueError(f"entry {entry[:40]!r} is not a name")
        made.append(f"check({entry})")
    return made


def _methods(case: ast.ClassDef, one: str) -> list[str]:
    """The calls for a pytest-style class: for each test a new object, named `one`, and its setup_method."""
    methods = {item.name: item.args.args for item in case.body if isinstance(item, ast.FunctionDef)}
    calls = [f"{case.name}.setup_class()"] if "setup_class" in methods else []
    for name in [name for name, arguments in methods.items() if name.startswith("test") and len(arguments) == 1]:
        calls.append(f"{one} = {case.name}()")
        if "setup_method" in methods:
            calls.append(f"{one}.setup_method({'None' if len(methods['setup_method']) > 1 else ''})")
        calls.append(f"{one}.{name}()")
    return calls


def _defined(tree: ast.Module) -> set[str]:
    """Names that a response binds at its top level, except imports."""
    found = set()
    for node in tree.body:
        found |= {node.name} if isinstance(node, DEFINITION) else named([node], ast.Store)
    return found


def _flow(node: ast.AST, depends: set[str], functions: dict[str, list[str]]) -> set[str]:
    """Names that come to depend on the response through one node; a superset when in doubt."""

    def touched(*nodes: ast.AST | None) -> bool:
        return not depends.isdisjoint(named([n for n in nodes if n is not None]))

    match node:
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.NamedExpr() if touched(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return named(targets)
        case ast.comprehension() if touched(node.iter):
            return named([node.target])
        case ast.FunctionDef() | ast.AsyncFunctionDef() if touched(*node.body, *node.decorator_list):
            return {node.name}
        case ast.ClassDef() if touched(*node.body, *node.decorator_list, *node.bases):
            return {node.name}
        case ast.Call():
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            if touched(node.func):  # f(items) may change items
                return {value.id for value in values if isinstance(value, ast.Name)}
            if touched(*values):  # helper(f) binds a parameter; out.append(f(1)) changes out
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                return set(functions.get(name, ())) or named([node.func], ast.Load)
        case ast.With() | ast.AsyncWith() if touched(node):  # with redirect_stdout(buffer): f()
            return named([item.context_expr for item in node.items], ast.Load) | named([node], ast.Store)
        case _ if isinstance(node, COMPOUND) and touched(node):
            return named([node], ast.Store)
    return set()


def _dependent(tree: ast.Module, defined: set[str]) -> set[str]:
    """Names in the tests whose value may depend on the response; names that the tests redefine do not."""
    own = {node.name for node in tree.body if isinstance(node, DEFINITION)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and defined.isdisjoint(named([node.value])):
            own |= named(node.targets)
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
    """Rewrites statements: a tick after every assertion that depends on the response."""

    def __init__(self, depends: set[str], names: Names, control: bool):
        self.depends, self.names, self.control, self.count = depends, names, control, 0

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [written for node in body for written in self.statement(node)]

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        counts = self.assertion(node)
        if not (counts and isinstance(node, ast.With)):  # the body of `with raises(...)` is meant to fail
            self.inside(node)
        if not counts:
            return [node]
        changed = asserted(node, self.depends, self.names.expected, self.control)
        if changed is None:
            return [node]
        self.count += 1
        on_failure: list[ast.stmt] = [ast.Pass()] if self.control else [ast.Expr(call(self.names.missed)), ast.Raise()]
        ticked = ast.Expr(call(self.names.tick, ast.Constant(self.count)))
        return [ast.copy_location(ast.Try([changed], [ast.ExceptHandler(None, None, on_failure)], [ticked], []), node)]

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
        return not self.depends.isdisjoint(named(checked))

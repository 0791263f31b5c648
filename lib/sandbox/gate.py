"""Static analysis of a program: what the response defines, where its tests assert, and how they look in the control.

Runs inside the box only, in the harness; parses and compiles, executes nothing. Standard library only.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType

from lib.sandbox import control
from lib.sandbox.control import DEFINITION, asserted, call, named

COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)
LITERAL = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.USub, ast.Load)
EVERYTHING = ("Exception", "BaseException")
RESPONSE, TESTS = "<response>", "<tests>"  # the file names in their code objects


@dataclass(frozen=True)
class Plan:
    """The test program to run.

    Its code; the line of its last statement; the lines of its assertions, by number; whether it can fail on purpose at
    all; the numbers of those assertions that plainly compare a result of the response with a literal; the packages that
    it or the response imports; the names that the response defines; the names of attributes that the tests assign; the
    seed of the control's values.
    """

    code: CodeType
    last_line: int
    lines: tuple[int, ...]
    checks: bool
    plain: tuple[int, ...]
    imported: tuple[str, ...]
    defined: tuple[str, ...]
    assigned: tuple[str, ...]
    seed: str


@dataclass(frozen=True)
class Names:
    """Random names of functions given to the tests (`lib.sandbox.cell.Checks`)."""

    tick: str
    missed: str
    expected: str
    enter: str


def plan(code: str, tests: str, names: Names, changed: bool) -> Plan:
    """Parse both halves and make the test program; raises SyntaxError, ValueError, RecursionError or MemoryError.

    `names.tick(i)` is called after assertion `i` has held, `names.missed(how, i)` when it fails, before a handler sees
    the exception, and `names.enter(name)` in every test function (`lib.sandbox.cell.Checks`). With `changed` the
    expected values are others (`lib.sandbox.control`): no assertion that depends on a right response should hold.
    """
    seed = hashlib.sha256(repr((code, tests)).encode()).hexdigest()
    control.CHANCE.seed(seed)
    tree, response = hoisted(ast.parse(tests)), ast.parse(code)
    last_line = max((node.lineno for node in tree.body), default=0)
    nodes = [*ast.walk(tree)]
    imported = {name.partition(".")[0] for name in _imported([*ast.walk(response), *nodes])}
    defined = _defined(response)
    assigned = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    mentioned = any(map(_mentions_assertion, nodes))
    functions = {node.name for node in response.body if isinstance(node, ast.FunctionDef)} - _rebound(nodes)
    writer = _Writer(_dependent(tree, nodes, defined), functions, _asserting(nodes), names, changed)
    tree.body = writer.block(tree.body)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            start = int(ast.get_docstring(node, clean=False) is not None)
            node.body.insert(start, ast.Expr(call(names.enter, ast.Constant(node.name))))
    compiled = compile(ast.fix_missing_locations(tree), TESTS, "exec", dont_inherit=True)
    checks = bool(writer.lines or writer.raises or mentioned)
    imported, defined, assigned = (tuple(sorted(found)) for found in (imported, defined, assigned))
    lines, plain = tuple(writer.lines), tuple(writer.plain)
    return Plan(compiled, last_line, lines, checks, plain, imported, defined, assigned, seed)


def loadable(code: str) -> ast.Module:
    """The response as it is run: `from __future__` imports first, and with no part meant for when it is run alone."""

    class Imported(ast.NodeTransformer):
        def visit_Compare(self, node: ast.Compare) -> ast.AST:
            sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
            if sorted(sides) != ["'__main__'", "__name__"] or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
                return self.generic_visit(node)
            return ast.copy_location(ast.Constant(isinstance(node.ops[0], ast.NotEq)), node)

    return Imported().visit(hoisted(ast.parse(code, RESPONSE)))


def hoisted(tree: ast.Module) -> ast.Module:
    """The module with its `from __future__` imports where Python wants them: first, but for a docstring."""
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    rest = [node for node in tree.body if node not in future]
    start = int(ast.get_docstring(tree, clean=False) is not None)
    tree.body = [*rest[:start], *future, *rest[start:]]
    return tree


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _defined(tree: ast.Module) -> set[str]:
    """Names that a response binds at its top level; of imports those that it renames, or all if there is nothing else.

    `from math import gcd as greatest_common_divisor` is an answer, `from typing import List` is not.
    """
    found, imports = set[str](), set[str]()
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname for alias in node.names if alias.asname and isinstance(node, ast.ImportFrom)}
            imports |= {alias.asname or alias.name for alias in node.names}
        else:
            found |= {node.name} if isinstance(node, DEFINITION) else named([node], ast.Store)
    return found or imports


def _rebound(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the tests bind or could bind: setattr, globals and patch get them as texts or keywords."""
    found = set[str]()
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.alias(name=name, asname=other):
                found.add(other or name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                found.add(name)
            case ast.Constant(value=str(text)):
                found.update(text.split("."))
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


def _dependent(tree: ast.Module, nodes: list[ast.AST], defined: set[str]) -> set[str]:
    """Names in the tests whose value may come from the response: the control changes the other side of a comparison."""
    own = {node.name for node in tree.body if isinstance(node, DEFINITION)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and defined.isdisjoint(named([node.value])):
            own |= named(node.targets)
    functions = {
        node.name: [arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
        for node in nodes
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    carriers = (ast.stmt, ast.Call, ast.comprehension, ast.NamedExpr)
    nodes = [node for node in nodes if isinstance(node, carriers)]
    depends, before = defined - own, -1
    while len(depends) != before:
        before = len(depends)
        for node in nodes:
            depends |= _flow(node, depends, functions)
    return depends


def _asserting(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Names bound to assertion methods: eq = TestCase().assertEqual makes eq(f(1), 2) an assertion."""
    return {
        target.id: node.value.attr
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr.startswith("assert")
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _mentions_assertion(node: ast.AST) -> bool:
    """Whether a node names an assertion method: a lambda may call it, or a helper of another module."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.startswith("assert")


def always(node: ast.expr) -> bool | None:
    """The truth of an expression that has the same one whatever its parts evaluate to; None if it depends on them."""
    match node:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return None if all(isinstance(part, ast.Starred) for part in parts) and parts else bool(parts)
        case ast.Dict(keys=keys):
            return None if keys and not any(keys) else bool(keys)
        case ast.GeneratorExp() | ast.Lambda():
            return True
        case ast.JoinedStr(values=parts) if any(isinstance(part, ast.Constant) and part.value for part in parts):
            return True
        case ast.NamedExpr(value=value):
            return always(value)
        case ast.UnaryOp(op=ast.Not(), operand=value):
            truth = always(value)
            return None if truth is None else not truth
        case ast.BoolOp(op=op, values=values):
            truths = {always(value) for value in values}
            deciding = isinstance(op, ast.Or)
            return deciding if deciding in truths else None if None in truths else not deciding
        case ast.IfExp(body=body, orelse=orelse) if always(body) is always(orelse):
            return always(body)
    return None


class _Writer:
    """Rewrites statements: a tick after every assertion that holds, a note of every one that fails."""

    def __init__(self, depends: set[str], functions: set[str], asserting: dict[str, str], names: Names, changed: bool):
        self.depends, self.functions, self.asserting = depends, functions, asserting
        self.names, self.changed = names, changed
        self.lines, self.plain = list[int](), list[int]()
        self.raises, self.how = False, "failed"

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [written for node in body for written in self.statement(node)]

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.Raise) and node.exc is not None:
            self.raises = True
            return [self.tried(node, [], "raised")]
        if isinstance(node, ast.If) and (_refuses(node.body) or _refuses(node.orelse)):
            return self.guard(node)
        if isinstance(node, ast.Try):
            return self.handled(node)
        counts = self.assertion(node)
        if not (counts and isinstance(node, ast.With) and "raises" in _contexts(node)):
            self.inside(node)  # but the body of `with raises(...)`, which is meant to fail
        if not counts:
            return [node]
        plain = self.compares_a_result(node)
        written = asserted(node, self.asserting, self.depends, self.names.expected, self.changed)
        if written is None:
            return [node]
        tick = self.tick(node)
        self.plain += [len(self.lines) - 1] if plain else []
        return [self.tried(written, [tick], self.how, len(self.lines) - 1)]

    def compares_a_result(self, node: ast.stmt) -> bool:
        """Whether the statement is `assert f(1) == 2` or assertEqual(f(1), 2) for a function f of the response."""
        match node:
            case ast.Assert(test=ast.Compare(left=first, ops=[ast.Eq()], comparators=[second])):
                pass
            case ast.Expr(value=ast.Call(args=[first, second], func=ast.Attribute(attr="assertEqual"))):
                pass
            case _:
                return False
        sides = [(first, second), (second, first)]
        return any(
            isinstance(result, ast.Call)
            and isinstance(result.func, ast.Name)
            and result.func.id in self.functions
            and all(isinstance(part, LITERAL) for part in ast.walk(value))
            for result, value in sides
        )

    def handled(self, node: ast.Try) -> list[ast.stmt]:
        """A handler that asserts stands for the assertions before it; one that takes every exception swallows them."""
        caught = {one: ast.unparse(one.type) if one.type else EVERYTHING[0] for one in node.handlers}
        asserting = [one for one in node.handlers if self.asserts(one)]
        replacing = any("AssertionError" in caught[one] or caught[one] in EVERYTHING for one in asserting)
        catching = [one for one in caught if caught[one] in EVERYTHING and not isinstance(one.body[0], ast.Pass)]
        swallowing = not asserting and self.asserts(node, fails=False)
        before, self.how = self.how, "replaced" if replacing else self.how
        node.body = self.block(node.body)
        self.how = before
        for part in (node.orelse, node.finalbody, *(handler.body for handler in node.handlers)):
            part[:] = self.block(part)
        for handler in catching if swallowing else ():
            handler.body.insert(0, ast.Expr(call(self.names.missed, ast.Constant("swallowed"), ast.Constant(-1))))
        return [node]

    def asserts(self, part: ast.AST, fails: bool = True) -> bool:
        """Whether a statement or handler asserts or raises, `fails` (as `assert False` does) included."""
        nodes = [node for one in getattr(part, "body", ()) for node in ast.walk(one) if isinstance(node, ast.stmt)]
        found = [node for node in nodes if isinstance(node, ast.Raise) or self.assertion(node)]
        return any(fails or not (isinstance(node, ast.Raise) or self.refusal(node)) for node in found)

    def refusal(self, node: ast.stmt) -> bool:
        """Whether the statement is there to fail: assert False, self.fail()."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            return control.called(node.value, self.asserting) == "fail"
        return _refuses([node])

    def guard(self, node: ast.If) -> list[ast.stmt]:
        """`if f(1) != 2: raise ...` asserts that f(1) == 2, and so do `assert False` and an `else` that raises."""
        tick = self.tick(node)
        positive = not _refuses(node.body)
        self.inside(node)
        if self.depends.isdisjoint(named([node.test])) and self.changed:
            return [node]  # of the tests' own arguments, say: the assertions behind it must be reached
        node.test = control.guarded(node.test, positive, self.depends, self.names.expected, self.changed)
        (node.body if positive else node.orelse).insert(0, tick)
        return [node]

    def tick(self, node: ast.stmt) -> ast.stmt:
        """The call that counts one more assertion as held."""
        self.lines.append(node.lineno)
        return ast.copy_location(ast.Expr(call(self.names.tick, ast.Constant(len(self.lines) - 1))), node)

    def tried(self, node: ast.stmt, held: list[ast.stmt], how: str, number: int = -1) -> ast.stmt:
        """The statement with a note when it raises, and what to do when it does not.

        `missed` tells whether the exception goes on: so the control's code looks like any other.
        """
        missed = call(self.names.missed, ast.Constant(how), ast.Constant(number))
        handler = ast.ExceptHandler(None, None, [ast.If(missed, [ast.Raise()], [])])
        return ast.copy_location(ast.Try([node], [handler], held, []), node)

    def inside(self, node: ast.stmt) -> None:
        for field in ("body", "orelse", "finalbody"):
            if isinstance(inner := getattr(node, field, None), list):
                setattr(node, field, self.block(inner))
        for part in [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]:
            part.body = self.block(part.body)

    def assertion(self, node: ast.stmt) -> bool:
        """Whether the statement asserts something: it can fail, and not only by accident."""
        match node:
            case ast.Assert(test=test):
                return always(test) is not True
            case ast.Expr(value=ast.Call() as called):
                name = control.called(called, self.asserting)
                return name.startswith("assert") or name == "fail"
            case ast.With() | ast.AsyncWith():
                return "raises" in _contexts(node) or "assert" in _contexts(node)
        return False


def _contexts(node: ast.With | ast.AsyncWith) -> str:
    """The functions whose contexts are entered, as text in lower case."""
    return " ".join(ast.unparse(item.context_expr).partition("(")[0] for item in node.items).lower()


def _refuses(body: list[ast.stmt]) -> bool:
    """Whether the statements end in a refusal: an exception, `assert False`, `sys.exit(1)`."""
    match body[-1] if body else None:
        case ast.Raise(exc=ast.expr()):
            return True
        case ast.Expr(value=ast.Call(args=[ast.Constant(value=status)]) as told) if status not in (0, None):
            return control.called(told, {}) in ("exit", "quit", "_exit")
        case ast.Assert(test=test):
            return always(test) is False
    return False

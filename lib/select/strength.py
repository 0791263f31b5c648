"""How strong the tests of examples are: assertions, statement coverage and mutants.

Responses run in the sandbox only: `coverage_program` and `mutant_programs` make programs for `sandbox.run_programs`,
and `statements_covered` and `mutation_summary` read the verdicts. A surviving mutant does not prove that tests are
weak: some changes leave a program's behaviour as it was (equivalent mutants), or change what nobody would test, such as
a message. The share of killed mutants is therefore a lower bound. Nor does a killed mutant prove that the response is
right.
"""

import ast
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from lib.core.records import Record
from lib.core.statistics import wilson

# What the box runs: response and tests again, measured by `coverage`; it reports the numbers. As it asserts nothing,
# its verdict is "notest", and it runs only once.
MEASURE = """
import contextlib, pathlib, sys, tempfile, types
import coverage
from lib.sandbox import units

def measured(code, tests, called, entry):
    module = types.ModuleType("__main__")
    space = vars(module)
    sys.modules["solution"] = sys.modules["__main__"] = module
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder).resolve() / "response.py"
        file.write_text(code, encoding="utf-8")
        watch = coverage.Coverage(data_file=None, config_file=False, include=[str(file)], messages=False)
        watch.start()
        space["__name__"] = "solution"  # what a response does when it is run alone is no test
        try:
            exec(compile(code, str(file), "exec", dont_inherit=True), space)
            space["__name__"] = "__main__"
            cases = units.Cases(space, called, lambda *_: None, [], tests)
            cases.take_over()
            with contextlib.suppress(SystemExit):
                exec(compile(tests, "<tests>", "exec", dont_inherit=True), space)
            cases.rest()
            if entry and "check" not in called:
                space["check"](space[entry])
        finally:
            watch.stop()
        _, statements, _, missing, _ = watch.analysis2(str(file))
    return {"covered": len(statements) - len(missing), "statements": len(statements)}

REPORT.store(measured(CODE, TESTS, CALLED, ENTRY))
"""

# One change per operator: an ordering moves its boundary by one, an equality or a membership is negated.
SWAPS: dict[type[ast.AST], type[Any]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or,
    ast.Or: ast.And,
}  # fmt: skip
UNTOUCHED = ("annotation", "returns", "format_spec")  # fields without behaviour, or whose change can only crash


def assertions(tests: str) -> int:
    """The number of assertions in the source of tests: assert statements, calls of assert... and raises.

    An assertion in a loop counts once. Raises SyntaxError for source that does not parse.
    """
    nodes = list(ast.walk(ast.parse(tests)))
    called = [ast.unparse(node.func).rpartition(".")[2] for node in nodes if isinstance(node, ast.Call)]
    written = sum(isinstance(node, ast.Assert) for node in nodes)
    return written + sum(name.startswith("assert") or name == "raises" for name in called)


def coverage_program(program: Record) -> Record:
    """A program {id, code, tests, report} that runs another one's code and tests and reports what they covered.

    To be run where the package `coverage` can be imported. A response can forge the numbers: they hold for honest
    responses. Raises SyntaxError for tests that do not parse.
    """
    given = {"CODE": program["code"], "TESTS": program["tests"], "ENTRY": program.get("entry")}
    calls = [node.func for node in ast.walk(ast.parse(program["tests"])) if isinstance(node, ast.Call)]
    given["CALLED"] = sorted({func.id for func in calls if isinstance(func, ast.Name)})  # no runner calls them again
    code = "\n".join(f"{name} = {value!r}" for name, value in given.items())
    return {"id": program["id"], "code": code, "tests": MEASURE, "report": "REPORT"}


def statements_covered(verdict: Record) -> tuple[int, int] | None:
    """(executed statements, all statements) of a response, from its coverage program's verdict; None when that failed.

    A definition counts as executed when the response is loaded: without tests, only definitions are covered.
    """
    match verdict.get("report"):
        case {"covered": int(ran), "statements": int(every)}:
            return ran, every
    return None


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes whose change can matter: no docstrings, annotations or format specifications, no `__main__` guard."""
    yield node
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            bare = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            guard = isinstance(child, ast.If) and "__name__" in ast.unparse(child.test)
            if isinstance(child, ast.AST) and field not in UNTOUCHED and not bare and not guard:
                yield from _nodes(child)


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """The possible changes of one node, as (field, new value)."""
    match node:
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp() if type(node.op) in SWAPS:
            yield "op", SWAPS[type(node.op)]()
        case ast.Compare():
            for place, op in enumerate(node.ops):
                yield "ops", [*node.ops[:place], SWAPS[type(op)](), *node.ops[place + 1 :]]
        case ast.Constant(value=bool() as value):
            yield "value", not value
        case ast.Constant(value=int() | float() as value):
            yield "value", value + 1
        case ast.Constant(value=str() as value):
            yield "value", value + "x"


def _source(tree: ast.Module) -> str | None:
    """The tree as source that parses, or None: some f-strings cannot be written by ast.unparse."""
    try:
        source = ast.unparse(tree)
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return source


def mutants(code: str, count: int, rng: random.Random) -> list[str]:
    """At most `count` different sources that differ from `code` in one operator or constant, drawn by `rng`.

    Arithmetic, comparison and boolean operators are swapped; 1 is added to a number, a letter to a string, a truth
    value is inverted; no statement is removed. Empty for code that does not parse.
    """
    try:
        tree = ast.parse(code)
        places = [(node, *change) for node in _nodes(tree) for change in _changes(node)]
    except (SyntaxError, ValueError, RecursionError):
        return []
    rng.shuffle(places)
    original = _source(tree)
    made: dict[str, None] = {}
    for node, field, value in places:
        if len(made) >= count:
            break
        before = getattr(node, field)
        setattr(node, field, value)
        source = _source(tree)
        setattr(node, field, before)
        if source not in (None, original):
            made[source] = None
    return list(made)


def mutant_programs(programs: Iterable[Record], count: int, seed: int) -> Iterator[Record]:
    """Up to `count` mutants of each program's code with its own tests: {id: "<program's id>:<number>", code, tests}.

    The draw depends on a program's id and `seed`, not on the other programs.
    """
    for program in programs:
        sources = mutants(program["code"], count, random.Random(f"{seed}:{program['id']}"))
        for number, source in enumerate(sources):
            yield {**program, "id": f"{program['id']}:{number}", "code": source}


def mutation_summary(verdicts: Iterable[Record]) -> Record:
    """Summary of the verdicts on mutants: mutants run, killed, survived; examples, and those without a survivor.

    A mutant survives when it passes; any other verdict kills it. `share` is `unbeaten` / `examples` with its 95 %
    Wilson interval `low` to `high`, all fractions, None without examples; examples without a mutant are not counted.
    """
    survived: dict[str, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        survived[verdict["id"].rpartition(":")[0]].append(verdict["verdict"] == "pass")
    run, alive = sum(map(len, survived.values())), sum(map(sum, survived.values()))
    unbeaten = sum(not any(passes) for passes in survived.values())
    low, high = wilson(unbeaten, len(survived)) if survived else (None, None)
    share = unbeaten / len(survived) if survived else None
    counts = {"mutants": run, "killed": run - alive, "survived": alive, "examples": len(survived), "unbeaten": unbeaten}
    return {**counts, "share": share, "low": low, "high": high}

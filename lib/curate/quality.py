"""The quality filters: small rules over one function, each naming where it comes from."""

import ast
import builtins
import collections
import datetime
import decimal
import fractions
import re
import symtable
from collections.abc import Callable, Iterable

from lib.curate.extract import Function, FunctionNode

Rule = Callable[[Function], bool]

BAD_WORDS = ("todo", "fixme", "bug")
BAD_IMPORTS = frozenset({"argparse", "os", "subprocess", "sys", "setuptools", "distutils", "matplotlib", "seaborn"})

# A function that needs nothing but these can be understood, rewritten and tested on its own.
PURE_MODULES = frozenset({
    "__future__", "abc", "array", "base64", "bisect", "calendar", "cmath", "collections", "collections.abc",
    "colorsys", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "heapq",
    "html", "itertools", "json", "keyword", "math", "numbers", "operator", "re", "statistics", "string", "struct",
    "textwrap", "types", "typing", "unicodedata",
})  # fmt: skip
PURE_BUILTINS = frozenset(dir(builtins)) - {
    "breakpoint", "callable", "compile", "delattr", "dir", "eval", "exec", "exit", "getattr", "globals", "hasattr",
    "help", "id", "input", "issubclass", "locals", "open", "print", "quit", "setattr", "super", "vars",
    "__import__", "__file__", "__name__",
}  # fmt: skip
_PLAIN_TYPES = (
    str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset, range, datetime.datetime,
    datetime.timedelta, decimal.Decimal, fractions.Fraction, collections.deque, collections.Counter,
    collections.defaultdict, collections.OrderedDict, re.Pattern, re.Match,
)  # fmt: skip
_IMPORTS = ast.Import | ast.ImportFrom
_CLOCK = frozenset({"now", "today", "utcnow"})
PLAIN_ATTRIBUTES = frozenset(name for kind in _PLAIN_TYPES for name in dir(kind) if name[0] != "_") - _CLOCK


def returns_value(function: Function) -> bool:
    """Some `return` of the function itself carries a value (paper, appendix B; nested functions do not count)."""
    return any(isinstance(node, ast.Return) and not _is_none(node.value) for node in _own_nodes(function.node))


def takes_arguments(function: Function) -> bool:
    """At least one parameter (official filter_dataset.py, which looks for `():` and so misses `() -> int:`)."""
    a = function.node.args
    return bool(a.posonlyargs or a.args or a.vararg or a.kwonlyargs or a.kwarg)


def has_size(min_body: int, max_lines: int, max_chars: int) -> Rule:
    """A rule on size: at least `min_body` lines of body without the docstring, at most `max_lines` lines and
    `max_chars` characters in all (paper: at most 150 lines; the other two bounds are our own)."""

    def size(function: Function) -> bool:
        body = function.node.body[1:]
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        return min_body <= lines and function.code.count("\n") < max_lines and len(function.code) <= max_chars

    return size


def has_no_bad_word(function: Function) -> bool:
    """None of the paper's words for unfinished code, as whole words or their plurals ("debug" is allowed)."""
    return not re.search(rf"\b({'|'.join(BAD_WORDS)})s?\b", function.code, re.IGNORECASE)


def has_no_bad_import(function: Function) -> bool:
    """No module of the paper's list, imported in the body or used from the file's imports (whole names)."""
    used = [function.imports[name].module for name in free_names(function) & function.imports.keys()]
    return BAD_IMPORTS.isdisjoint(module.split(".")[0] for module in [*used, *_inner_imports(function.node)])


def is_described(min_words: int) -> Rule:
    """A rule on the docstring's prose: at least that many words before the first example or field list (our own)."""

    def described(function: Function) -> bool:
        prose = re.split(r"^\s*(?:>>>|:\w+|@\w+|\w+:\s*$|-{3,})", function.docstring, maxsplit=1, flags=re.MULTILINE)[0]
        return len(re.findall(r"[A-Za-z]{2,}", prose)) >= min_words

    return described


def is_public(function: Function) -> bool:
    """Neither a private helper nor a test (our own: helpers rarely make sense without their caller)."""
    return not function.name.startswith(("_", "test"))


def returns_data(function: Function) -> bool:
    """Returns no function of its own making: closures and decorators are hard to state as a task (our own)."""
    inner = {node.name for node in ast.walk(function.node) if isinstance(node, FunctionNode)} - {function.name}
    values = [node.value for node in _own_nodes(function.node) if isinstance(node, ast.Return)]
    return not any(isinstance(v, ast.Lambda) or (isinstance(v, ast.Name) and v.id in inner) for v in values)


def is_self_contained(function: Function) -> bool:
    """A function over plain values: no name from elsewhere but pure standard modules, no input or output, no clock,
    no attribute that the built-in types lack (our own rule, a departure from the paper)."""
    if foreign_names(function) or not PURE_MODULES.issuperset(_inner_imports(function.node)):
        return False
    nodes = list(ast.walk(function.node))
    if any(isinstance(node, ast.Global | ast.ClassDef | ast.AsyncFunctionDef) for node in nodes):
        return False
    modules = {alias.asname or alias.name for node in nodes if isinstance(node, _IMPORTS) for alias in node.names}
    return all(_is_plain(node, modules | function.imports.keys()) for node in nodes if isinstance(node, ast.Attribute))


def import_header(function: Function) -> str:
    """The imports of the file that the function needs, one line a module, sorted; empty when it needs none."""
    needed = [function.imports[name] for name in free_names(function) & function.imports.keys()]
    lines = {f"import {item}" for item in needed if not item.name}
    for module in {item.module for item in needed if item.name}:
        names = sorted(str(item) for item in needed if item.name and item.module == module)
        lines.add(f"from {module} import {', '.join(names)}")
    return "\n".join(sorted(lines))


def free_names(function: Function) -> set[str]:
    """Names that the function takes from its module or the builtins, its own name excepted."""
    top = symtable.symtable(function.code, "seed", "exec")
    names = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    tables = top.get_children()
    while tables:
        table = tables.pop()
        names.update(symbol.get_name() for symbol in table.get_symbols() if symbol.is_global())
        tables.extend(table.get_children())
    return names - {function.name}


def foreign_names(function: Function) -> set[str]:
    """The free names that are neither builtins of PURE_BUILTINS nor imported from PURE_MODULES."""
    pure = {name for name, item in function.imports.items() if item.module in PURE_MODULES}
    impure = function.imports.keys() - pure
    return free_names(function) - pure - (PURE_BUILTINS - impure)


def split(functions: Iterable[Function], rule: Rule) -> tuple[list[Function], list[Function]]:
    """(kept, removed) by one rule, order kept."""
    kept: list[Function] = []
    removed: list[Function] = []
    for function in functions:
        (kept if rule(function) else removed).append(function)
    return kept, removed


def _is_plain(node: ast.Attribute, imports: set[str]) -> bool:
    root = node.value
    while isinstance(root, ast.Attribute):
        root = root.value
    imported = isinstance(root, ast.Name) and root.id in imports
    return node.attr in PLAIN_ATTRIBUTES or (imported and node.attr not in _CLOCK)


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _own_nodes(function: ast.AST) -> Iterable[ast.AST]:
    """The nodes of a function without those of functions and classes defined inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _own_nodes(child)


def _inner_imports(function: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return found

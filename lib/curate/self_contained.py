"""Self-contained functions: those that can be understood, rewritten and tested on their own."""

import ast
import builtins
import collections
import datetime
import decimal
import fractions
import re

from lib.curate.extract import Function, statements
from lib.curate.imports import free_names, inner_imports, needed

# Modules without input, output, clock, randomness or system: a function that uses no others is deterministic.
PURE_MODULES = frozenset({
    "__future__", "abc", "array", "base64", "bisect", "calendar", "cmath", "collections", "collections.abc",
    "colorsys", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "heapq",
    "html", "itertools", "json", "keyword", "math", "numbers", "operator", "re", "statistics", "string", "struct",
    "textwrap", "types", "typing", "unicodedata",
})  # fmt: skip
# `copyright` to `license` are added by the interactive interpreter, `display` and `get_ipython` by notebooks.
PURE_BUILTINS = frozenset(name for name in dir(builtins) if name[0] != "_") - {
    "breakpoint", "callable", "compile", "delattr", "dir", "eval", "exec", "exit", "getattr", "globals", "hasattr",
    "help", "id", "input", "issubclass", "locals", "open", "print", "quit", "setattr", "super", "vars",
    "copyright", "credits", "license", "display", "get_ipython",
}  # fmt: skip
_PLAIN_TYPES = (
    str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset, range, datetime.datetime,
    datetime.timedelta, decimal.Decimal, fractions.Fraction, collections.deque, collections.Counter,
    collections.defaultdict, collections.OrderedDict, re.Pattern, re.Match,
)  # fmt: skip
_CLOCK = frozenset({"now", "today", "utcnow"})
PLAIN_ATTRIBUTES = frozenset(name for kind in _PLAIN_TYPES for name in dir(kind) if name[0] != "_") - _CLOCK


def is_self_contained(function: Function) -> bool:
    """A function over plain values (our own rule, a departure from the paper): its names come from itself or from pure
    standard modules, it has no input, output or clock, and it uses no attribute that the built-in types lack."""
    if foreign_names(function):
        return False
    inner = inner_imports(function)
    barred = ast.Global | ast.ClassDef | ast.AsyncFunctionDef
    if not PURE_MODULES.issuperset(inner.values()) or isinstance(function.node, barred):
        return False
    if any(isinstance(node, barred) for node in statements(function.node)):
        return False
    imported = inner.keys() | needed(function).keys()
    return all(_is_plain(node, imported) for node in ast.walk(function.node) if isinstance(node, ast.Attribute))


def foreign_names(function: Function) -> set[str]:
    """The free names that are neither in PURE_BUILTINS nor supplied by an import from PURE_MODULES."""
    supplied = needed(function)
    pure = {name for name, item in supplied.items() if item.module in PURE_MODULES}
    others = free_names(function) - pure
    return {name for name in others if name not in PURE_BUILTINS or name in supplied or name in function.defined}


def _is_plain(node: ast.Attribute, imported: set[str]) -> bool:
    if node.attr in PLAIN_ATTRIBUTES:
        return True
    root = node.value
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in imported and node.attr not in _CLOCK

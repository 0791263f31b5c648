"""The outline of a function: its syntax tree without names, comments and layout."""

import ast
import textwrap
import warnings
from collections.abc import Iterable, Iterator

from lib.core.markdown import blocks

Function = ast.FunctionDef | ast.AsyncFunctionDef
MIN_OUTLINE = 20  # entries; shorter bodies (one call, a bare return) are the same in much unrelated code

ANY_TAG = r"[^\n]*"  # of a fenced block; a model need not name the language
# Written out: dir(builtins) differs between Python versions and inside notebooks.
_LISTED = """
    abs all any ascii bin bool bytearray bytes callable chr classmethod complex delattr dict dir divmod enumerate
    eval exec filter float format frozenset getattr globals hasattr hash help hex id input int isinstance issubclass
    iter len list locals map max memoryview min next object oct open ord pow print property range repr reversed round
    set setattr slice sorted staticmethod str sum super tuple type vars zip Exception ArithmeticError AssertionError
    AttributeError IndexError KeyError LookupError NotImplementedError OverflowError RuntimeError StopIteration
    TypeError ValueError ZeroDivisionError
"""
BUILTINS = frozenset(_LISTED.split())
# Parts of a syntax tree that do not change what it computes, or that differ between Python versions.
_SKIPPED = {"annotation", "returns", "decorator_list", "type_comment", "type_params", "ctx", "kind", "simple"}
_NAMES = {"id", "name", "names", "arg", "asname", "rest"}  # fields with names; those of an import or keyword stay


def outlines(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield name and outline of the functions, methods and nested functions in a text.

    The text is Python, or prose with Python in Markdown fences. Outlines under MIN_OUTLINE entries are left out.
    """
    for piece in (piece for piece in [text, *(block.code for block in blocks(text, ANY_TAG))] if "def " in piece):
        for node in _nodes(piece):
            if isinstance(node, Function) and len(entries := outline(node)) >= MIN_OUTLINE:
                yield node.name, entries


def outline(function: Function) -> list[str]:
    """What a function's body does, whatever its names are: node types, fields, constants in the order of the source.

    Names become numbers in order of first appearance, unless they mean a builtin; attributes, keywords and
    imported names stay. The signature, annotations, decorators, docstrings and `pass` are left out. Empty when the
    body nests too deep.
    """
    bound: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    written = _Outline(bound)
    try:
        for statement in function.body:
            written.add_node(statement)
    except RecursionError:
        return []
    return written.entries


class _Outline:
    """The entries of an outline, as its nodes are added; `bound` are the names that the function defines."""

    def __init__(self, bound: set[str]) -> None:
        self.bound = bound
        self.entries: list[str] = []
        self.numbers: dict[str, str] = {}

    def add_node(self, node: ast.AST) -> None:
        """Add a node and what is below it."""
        is_comment = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_comment or isinstance(node, ast.Pass):
            return
        self.entries.append(type(node).__name__)
        keeps_names = isinstance(node, ast.keyword | ast.alias)
        for field in node._fields:
            if field not in _SKIPPED:
                is_name = field in _NAMES and not (keeps_names and field != "asname")
                self.add_value(getattr(node, field, None), is_name)

    def add_value(self, value: object, is_name: bool) -> None:
        """Add the value of a node's field."""
        if isinstance(value, ast.AST):
            self.add_node(value)
        elif isinstance(value, list):
            self.entries.append("[")
            for part in value:
                self.add_value(part, is_name)
            self.entries.append("]")
        elif is_name and isinstance(value, str):
            is_builtin = value in BUILTINS and value not in self.bound
            self.entries.append(value if is_builtin else self.numbers.setdefault(value, f"v{len(self.numbers)}"))
        elif value is not None:
            self.entries.append(repr(value))


def docstrings(code: str) -> list[str]:
    """The docstrings in a piece of Python, as they are written; none when it is not Python."""
    documented = (node for node in _nodes(code) if isinstance(node, ast.Module | ast.ClassDef | Function))
    found = [ast.get_docstring(node, clean=False) for node in documented]
    return [text for text in found if text]


def _nodes(code: str) -> Iterable[ast.AST]:
    """All nodes of a text's syntax tree; none when it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            return ast.walk(ast.parse(textwrap.dedent(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()

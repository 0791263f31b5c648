"""Python as text: whether it is Python at all, and several pieces of it as one program."""

import ast
import re
import warnings
from collections.abc import Sequence

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what Python raises for a text it cannot take


def parsed(code: str) -> ast.Module | None:
    """Return the syntax tree of a text, None when it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            return ast.parse(code)
    except UNREADABLE:
        return None


def compiles(code: str) -> bool:
    """Return whether Python takes a program: some that parse it refuses, as one with a late `from __future__`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "<text>", "exec", dont_inherit=True)
    except UNREADABLE:
        return False
    return True


def with_futures_first(code: str) -> str:
    """Return a program with its `from __future__` imports moved to the top, the only place where Python takes them."""
    tree = parsed(code)
    futures = [
        node
        for node in (tree.body if tree else ())
        if isinstance(node, ast.ImportFrom) and node.module == "__future__" and not node.level
    ]
    if not futures:
        return code
    lines = re.sub(r"\r\n?", "\n", code).encode().split(b"\n")  # a tree's columns are bytes
    for node in reversed(futures):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        alone = not before.strip() and not after.strip()
        lines[first : last + 1] = [b"" if alone else before + b"pass" + after]
    return "\n".join([*dict.fromkeys(map(ast.unparse, futures)), b"\n".join(lines).decode()])


def joined(pieces: Sequence[str]) -> str:
    """Return the pieces of a program as one, with a blank line between them.

    Each may begin with a `from __future__`, which Python takes at the top of the whole only: it is moved there, unless
    the whole compiles as it is, or a piece does not compile even by itself.
    """
    whole = "\n\n".join(pieces)
    if "__future__" in whole and len(pieces) > 1 and not compiles(whole) and all(map(compiles, pieces)):
        return with_futures_first(whole)
    return whole

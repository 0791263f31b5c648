"""Which modules of the study a notebook or a module uses, and a hash of each that only changed code changes."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from lib.core.paths import ROOT

# Files of these folders are also loaded by path (the harness in its box, oracles sent as text): all or none are used.
WHOLE = ("lib/sandbox", "lib/evaluate/benchmarks", "lib/evaluate/oracles")

UNREAD = ("lib/core/stages.py",)  # the table of stages, which is no part of what any of them does


def closure_hashes(module: str, root: Path = ROOT) -> dict[str, str]:
    """Return {path: hash} of a module of `lib` and of all that it imports, transitively; paths relative to `root`."""
    return hashes([module], root)


def used_hashes(source: str, root: Path = ROOT) -> dict[str, str]:
    """Return {path: hash} of the modules of `lib` that a text of Python imports, transitively."""
    return hashes(imports(ast.parse(source)), root)


def hashes(modules: Iterable[str], root: Path) -> dict[str, str]:
    """Return {path: hash} of these modules and of all modules of `lib` that they import."""
    waiting, found = list(modules), dict[str, str]()
    while waiting:
        for path in files_of(waiting.pop(), root):
            name = path.relative_to(root).as_posix()
            if name not in found and name not in UNREAD:
                tree = parsed(path, path.stat().st_mtime_ns)
                found[name] = code_hash(tree)
                waiting += imports(tree)
    return dict(sorted(found.items()))


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names below `lib` that code imports; a name imported from a module counts as one, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "lib")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lib":
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(module: str, root: Path) -> Iterator[Path]:
    """Yield the files that importing a dotted name runs: those of its packages, then its own; none for a mere name."""
    place = root
    for part in module.split("."):
        place = place / part
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path
        if place.relative_to(root).as_posix() in WHOLE:
            yield from sorted(place.glob("*.py"))


@cache
def parsed(path: Path, changed: int) -> ast.Module:
    """Return a file's syntax tree; `changed` is its time of last change, so that an edited file is read again."""
    return ast.parse(path.read_bytes())


@cache
def code_hash(tree: ast.Module) -> str:
    """Return 16 hex characters that depend on what the code does, not on its comments, docstrings and layout."""
    return hashlib.sha256(repr(plain(tree)).encode()).hexdigest()[:16]


def plain(node: object) -> object:
    """Return a syntax tree as nested lists, the same with every version of Python: empty fields are left out."""
    if isinstance(node, list):
        return [plain(item) for item in node if not is_text(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, []) and name != "kind"]
    return [type(node).__name__, *([name, plain(value)] for name, value in fields)]


def is_text(node: object) -> bool:
    """Tell whether a statement is a mere string: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

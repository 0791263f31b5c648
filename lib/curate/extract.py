"""Top-level functions with docstrings and their exact source, from Python files that are parsed, never imported."""

import ast
import io
import re
import tokenize
import warnings
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from lib.core.records import Record, content_id
from lib.core.text import UNENCODABLE, encodable
from lib.corpora.source import MAX_FILE_BYTES, SourceFile

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITION = re.compile(r"(?:^|\f)(?:def|async)\b", re.MULTILINE)


class Unreadable(Exception):
    """A file or function that is not usable Python; the message is the reason that the funnel counts."""


@dataclass(frozen=True)
class Import:
    """One imported name: `import module as alias`, or `from module import name as alias` when a name is given."""

    module: str
    name: str = ""
    alias: str = ""

    def __str__(self) -> str:
        return (self.name or self.module) + (f" as {self.alias}" if self.alias else "")


@dataclass(eq=False)
class Function:
    """A top-level function whose first statement is a docstring, with its exact source, decorators included."""

    name: str
    code: str
    line: int
    """Line of the first decorator, or of the def, in the file, from 1."""
    docstring: str
    """The docstring without its indentation."""
    node: FunctionNode
    """The syntax tree, whose line numbers are those of the file."""
    imports: dict[str, Import]
    """The names that the file imports at its top level or under `if TYPE_CHECKING`."""
    defined: frozenset[str]
    """The other names that the file defines outside its functions and classes."""
    file: SourceFile


def functions(file: SourceFile) -> Iterator[Function]:
    """The file's top-level functions whose first statement is a docstring, in file order.

    The official seed_gathering takes triple-double-quoted docstrings only and drops decorators; here any quote style
    counts and the source is exact. Raises Unreadable with a short reason, before the first function: the file's own
    fault, "name" (one that UTF-8 cannot hold), "too large", "null bytes", "encoding", "syntax" (Python 2 included) or
    "nesting".
    """
    text = decode(file)
    if not _DEFINITION.search(text):
        return  # half of all files define no function at the top level; parsing them takes a third of the time
    tree = parse(text)
    source = text.encode()  # positions in the tree count bytes of UTF-8
    lines = list(accumulate((len(line) + 1 for line in source.split(b"\n")), initial=0))  # where each begins
    imports, defined = imported(tree), assigned(tree)
    for node in tree.body:
        if isinstance(node, FunctionNode) and (docstring := ast.get_docstring(node)):
            start = lines[node.lineno - 1] + node.col_offset
            if node.decorator_list:
                first = node.decorator_list[0]
                start = source.rindex(b"@", 0, lines[first.lineno - 1] + first.col_offset)
            end = lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
            code = source[start:end].decode()
            yield Function(node.name, code, bisect(lines, start), docstring, node, imports, defined, file)


def decode(file: SourceFile) -> str:
    """The text of a file, with line ends read as Python reads them. Raises Unreadable as `functions` says."""
    data = file.data
    if file.fault:
        raise Unreadable(file.fault)
    if not encodable(file.package + file.path):
        raise Unreadable("name")
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable("too large")
    if b"\0" in data:
        raise Unreadable("null bytes")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        if encoding not in {"utf-8", "utf-8-sig"}:
            text.encode()  # some codecs yield lone surrogates, which UTF-8 cannot hold
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise Unreadable("encoding") from error
    return re.sub(r"\r\n?", "\n", text) if "\r" in text else text


def parse(text: str) -> ast.Module:
    """The syntax tree of a text. Raises Unreadable: "syntax" (Python 2 included) or "nesting"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            return ast.parse(text)
    except (RecursionError, MemoryError) as error:
        raise Unreadable("nesting") from error
    except (SyntaxError, ValueError) as error:
        raise Unreadable("syntax") from error


def imported(tree: ast.Module) -> dict[str, Import]:
    """The names that a file imports at its top level or under `if TYPE_CHECKING`."""
    body = list(tree.body)
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            body.extend(node.body)
    found: dict[str, Import] = {}
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = Import(alias.name, "", alias.asname or "")
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                found[alias.asname or alias.name] = Import(module, alias.name, alias.asname or "")
    return found


def assigned(tree: ast.Module) -> frozenset[str]:
    """The names of the functions, classes and variables that a file defines outside its functions and classes."""
    found: set[str] = set()
    for node in statements(tree, own=True):
        if isinstance(node, FunctionNode | ast.ClassDef):
            found.add(node.name)
        for target in getattr(node, "targets", [getattr(node, "target", ast.Pass())]):
            names = (name for name in ast.walk(target) if isinstance(name, ast.Name))
            found.update(name.id for name in names if isinstance(name.ctx, ast.Store))
    return frozenset(found)


def statements(node: ast.Module | FunctionNode, own: bool = False) -> list[ast.AST]:
    """All statements in a file or function, outer before inner; `own` leaves out those of functions and classes in it.

    Much cheaper than ast.walk, which spends its time on expressions.
    """
    found: list[ast.AST] = list(node.body)
    for inner in found:  # grows while it is read
        if own and isinstance(inner, FunctionNode | ast.ClassDef):
            continue
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            found += getattr(inner, block, ())
    return found


def below(header: str, code: str) -> str:
    """A function's code below its import lines, in the format of the paper's appendix B."""
    return f"{header}\n\n\n{code}" if header else code


def seed(function: Function, header: str = "") -> Record:
    """The seed record of a function; `header` holds the import lines that its body needs.

    Raises Unreadable for a docstring that UTF-8 cannot hold, although it can hold its source, where it is an escape.
    """
    if not encodable(function.docstring):
        raise Unreadable(UNENCODABLE)
    file, code = function.file, below(header, function.code)
    source = {"package": file.package, "version": file.version, "licence": file.licence}
    source |= {"path": file.path, "line": function.line}
    return {
        "id": content_id("seed", source, code),
        "code": code,
        "name": function.name,
        "docstring": function.docstring,
        "source": source,
    }

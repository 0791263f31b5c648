"""Top-level functions with docstrings, cut exactly out of Python source that is read but never imported."""

import ast
import io
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lib.corpora import SourceFile
from lib.records import Record, content_id

MAX_FILE_BYTES = 1_000_000  # larger files are tables or generated code
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Unreadable(Exception):
    """A file that holds no usable Python; the message is the reason counted in the funnel."""


@dataclass(frozen=True)
class Import:
    """One imported name: `import module as alias`, or `from module import name as alias` when a name is given."""

    module: str
    name: str = ""
    alias: str = ""

    def __str__(self) -> str:
        return (self.name or self.module) + (f" as {self.alias}" if self.alias else "")


@dataclass(frozen=True)
class Function:
    """A top-level function: its exact source, its syntax tree, and the imports of the file it stands in."""

    name: str
    code: str
    docstring: str
    line: int
    node: FunctionNode
    imports: dict[str, Import]
    """The names that the file imports at its top level."""
    file: SourceFile


def parse(data: bytes) -> tuple[str, ast.Module]:
    """Source text (line ends read as Python reads them) and syntax tree of a file's bytes.

    Raises Unreadable with a short reason: "too large", "encoding", "syntax" (Python 2 and null bytes
    included) or "nesting".
    """
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable("too large")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = re.sub(r"\r\n?", "\n", data.decode(encoding))
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise Unreadable("encoding") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            return text, ast.parse(text)
    except (RecursionError, MemoryError) as error:
        raise Unreadable("nesting") from error
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes, before Python 3.12
        raise Unreadable("syntax") from error


def functions(file: SourceFile) -> Iterator[Function]:
    """The file's top-level functions whose first statement is a docstring, decorators included, in file order.

    Section 2.1 of the official code takes triple-double-quoted docstrings only and drops decorators; here any
    quote style counts and the source is exact. Raises Unreadable.
    """
    text, tree = parse(file.data)
    lines = text.split("\n")
    imports = _imports(tree)
    for node in tree.body:
        if isinstance(node, FunctionNode) and (docstring := ast.get_docstring(node)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            last = node.end_lineno or node.lineno
            tail = lines[last - 1].encode()[: node.end_col_offset].decode()  # offsets count bytes of UTF-8
            code = "\n".join([*lines[first - 1 : last - 1], tail])
            yield Function(node.name, code, docstring, first, node, imports, file)


def extract(files: Iterable[SourceFile]) -> tuple[list[Function], dict[str, int]]:
    """All functions with docstrings of the files, and how many files were skipped for which reason."""
    found: list[Function] = []
    skipped: Counter[str] = Counter()
    for file in files:
        try:
            found.extend(functions(file))
        except Unreadable as reason:
            skipped[str(reason)] += 1
    return found, dict(skipped)


def seed(function: Function, header: str = "") -> Record:
    """The seed record of a function; `header` holds the import lines that its body needs.

    The format is the paper's: imports, signature, docstring, body (appendix B).
    """
    file = function.file
    code = f"{header}\n\n\n{function.code}" if header else function.code
    source = {"package": file.package, "version": file.version, "licence": file.licence}
    source |= {"path": file.path, "line": function.line}
    return {
        "id": content_id("seed", source, code),
        "code": code,
        "name": function.name,
        "docstring": function.docstring,
        "source": source,
    }


def _imports(tree: ast.Module) -> dict[str, Import]:
    """The names imported at the top level or under `if TYPE_CHECKING`."""
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

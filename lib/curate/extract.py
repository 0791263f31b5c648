"""Top-level functions with docstrings, cut exactly out of Python source that is read but never imported."""

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lib.core.records import Record, content_id
from lib.corpora.source import MAX_FILE_BYTES, SourceFile
from lib.curate.scan import FunctionNode, Unreadable, parse, scan, value

__all__ = ["Function", "FunctionNode", "Import", "Module", "Unreadable", "decode", "functions", "seed"]

_IMPORT = re.compile(r"(?:import|from)\b")
_INLINE_IMPORT = re.compile(r";[ \t\f\\\n]*(?:import|from)\b")


@dataclass(frozen=True)
class Import:
    """One imported name: `import module as alias`, or `from module import name as alias` when a name is given."""

    module: str
    name: str = ""
    alias: str = ""

    def __str__(self) -> str:
        return (self.name or self.module) + (f" as {self.alias}" if self.alias else "")


@dataclass(eq=False)
class Module:
    """The text of a file, and where its statements begin, both as lib.curate.scan has them."""

    text: str
    starts: list[int]

    @cached_property
    def imports(self) -> dict[str, Import]:
        """The names imported at the top level or under `if TYPE_CHECKING`. Raises Unreadable."""
        if not self.starts or _INLINE_IMPORT.search(self.text):
            return _imports(parse(self.text))
        pieces = []
        for start, end in zip(self.starts, self.starts[1:], strict=False):
            guard = self.text.startswith("if", start) and self.text.find("TYPE_CHECKING", start, end) >= 0
            if guard or _IMPORT.match(self.text, start):
                pieces.append(self.text[start:end])
        try:
            return _imports(parse("\n".join(pieces)))
        except Unreadable:  # a name at the start of a line in brackets looks like a statement
            return _imports(parse(self.text))


@dataclass(eq=False)
class Function:
    """A top-level function whose first statement is a docstring, with its exact source, decorators included.

    What takes a parser is worked out on first use, so that filters which look at the text alone cost no parse.
    """

    name: str
    code: str
    line: int
    """Of the first decorator or the def in its file, from 1."""
    literal: str
    """The docstring as it is written, with its quotes."""
    file: SourceFile
    module: Module

    @cached_property
    def docstring(self) -> str:
        """The docstring without its indentation. Raises Unreadable("syntax") for a malformed escape."""
        return inspect.cleandoc(value(self.literal))

    @cached_property
    def node(self) -> FunctionNode:
        """The syntax tree of `code`, whose first line is line 1. Raises Unreadable: "syntax" or "nesting"."""
        body = parse(self.code).body
        if len(body) != 1 or not isinstance(body[0], FunctionNode):
            raise Unreadable("syntax")
        return body[0]

    @property
    def imports(self) -> dict[str, Import]:
        """The names that the file imports at its top level. Raises Unreadable when these statements do not parse."""
        return self.module.imports


def functions(file: SourceFile) -> Iterator[Function]:
    """The file's top-level functions whose first statement is a docstring, decorators included, in file order.

    Section 2.1 of the official code takes triple-double-quoted docstrings only and drops decorators; here any
    quote style counts and the source is exact. In a file that Python can parse they are the functions that its parser
    finds; they are found by their text alone, and the file is parsed only where that leaves a doubt. A syntax error
    elsewhere in the file does not matter then, and one in a function is raised by its `node`.

    Raises Unreadable with a short reason, before the first function: the file's own fault, "too large", "null bytes",
    "encoding", and "syntax" or "nesting" for a file that had to be parsed.
    """
    text = decode(file)
    text = f"\n{text}" if text.endswith("\n") else f"\n{text}\n"
    found, starts = scan(text)
    module = Module(text, starts)
    line, counted = 0, 0
    for name, start, code, literal in found:
        line += text.count("\n", counted, start)
        counted = start
        yield Function(name, code, line, literal, file, module)


def decode(file: SourceFile) -> str:
    """The text of a file, line ends read as Python reads them. Raises Unreadable as `functions` says."""
    data = file.data
    if file.fault:
        raise Unreadable(file.fault)
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable("too large")
    if b"\0" in data:
        raise Unreadable("null bytes")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        if encoding not in {"utf-8", "utf-8-sig"}:
            text.encode()  # some codecs can yield what no other file can hold: lone surrogates
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise Unreadable("encoding") from error
    return re.sub(r"\r\n?", "\n", text) if "\r" in text else text


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

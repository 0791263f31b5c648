"""Where the documented functions of a source text stand, found by its text; a parser is asked only in doubt."""

import ast
import inspect
import re
import unicodedata
import warnings
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

# Possessive throughout, so that nothing is tried twice and no input takes more than a few passes. An f-string is
# one string to Python 3.11; where later versions let it hold its own quotes, it looks like several in a row.
_STRING = (
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"""|' + r"'''(?:[^'\\]++|\\.|'(?!''))*+'''|"
    r'"(?!"")(?:[^"\\\n]++|\\.)*+"|' + r"'(?!'')(?:[^'\\\n]++|\\.)*+'"
)
_PASSED = rf"{_STRING}|\#[^\n]*+|\\."
_BRACKETS = r"(?!)"
for _ in range(6):  # deeper nesting is left to the parser
    _BRACKETS = rf"[(\[{{](?:[^\"'\#\\()\[\]{{}}]++|{_PASSED}|{_BRACKETS})*+[)\]}}]"
_BALANCED = re.compile(rf"(?:[^\"'\#\\()\[\]{{}}]++|{_PASSED}|{_BRACKETS})*+", re.DOTALL)
# Up to the end of a line that is followed by a character which can begin a statement of the top level.
_STATEMENT = re.compile(rf"[^\"'\#\\\n]*+(?:(?:\n(?=[ \t\f\n\#)\]}}])|{_PASSED})[^\"'\#\\\n]*+)*+.?+", re.DOTALL)
_LAST_TOKEN = re.compile(rf"(?:(?:\s++|\#[^\n]*+)*+(?:[^\"'\#\\\s]++|{_STRING}|\\.))*+", re.DOTALL)
_DECORATOR = re.compile(rf"@(?:[^\"'\#\\\n()\[\]{{}}]++|{_STRING}|{_BRACKETS}|\\.)*+(?:\#[^\n]*+)?+\n", re.DOTALL)
_HEAD = re.compile(
    rf"""(?:async[ \t]++)?+def[ \t]++(?P<name>\w++)[ \t]*+{_BRACKETS}
    (?:[ \t]*+->(?:(?!lambda)[^:"'\#\\\n()\[\]{{}}]|{_STRING}|{_BRACKETS}|\\\n)*+)?+[ \t]*+:
    (?:[ \t\f]*+(?:\#[^\n]*+)?+\n)*+[ \t\f]*+
    (?:(?P<literal>[rRuU]?+(?:{_STRING}))[ \t\f]*+(?=[;\#\n]) |
    (?P<unclear>\\|(?:\((?:[\s(\\]|\#[^\n]*+)*+)?+\w{{0,2}}["']) | )""",
    re.DOTALL | re.VERBOSE,
)
_PLAIN = re.compile(r"""[rRuU]?+(?:\"{3}|'{3}|["'])\s*+[^\s\\"']""")
_KEYWORD = re.compile(r"(?:def|async|class)\b")
_FORM_FEED = re.compile(r"\n[ \t]*\f[ \t\f]*[^ \t\f\n]")  # one before code, whose column it sets back to the first


class Unreadable(Exception):
    """A file or a function that is no usable Python; the message is the reason counted in the funnel."""


class Found(NamedTuple):
    """A documented function of the top level: its source from `start` on, decorators included."""

    name: str
    start: int
    code: str
    literal: str
    """The docstring as it is written, with its quotes."""


def scan(text: str) -> tuple[list[Found], list[int]]:
    """The documented functions of a text that begins and ends with a line end, and where its statements begin.

    In a text that Python can parse, the functions are those that its parser finds. The second list holds each line
    of the top level whose first column is in no string (it may be the rest of a statement that goes on from a
    bracket) and ends with the text's length; it is empty when the text had to be parsed. Raises Unreadable then.
    """
    if "\ndef" not in text and "\nasync" not in text and "\f" not in text and "\n\\" not in text:
        return [], []
    try:
        starts = _starts(text)
        return list(_documented(text, starts)), starts
    except _UnclearError:
        return list(parsed(text)), []


def parse(text: str) -> ast.Module:
    """Syntax tree of a text. Raises Unreadable: "syntax" (Python 2 included) or "nesting"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            return ast.parse(text)
    except (RecursionError, MemoryError) as error:
        raise Unreadable("nesting") from error
    except (SyntaxError, ValueError) as error:
        raise Unreadable("syntax") from error


def value(literal: str) -> str:
    """What a string literal means. Raises Unreadable."""
    if "\\" not in literal:
        quotes = 3 if literal.endswith(('"""', "'''")) else 1
        return literal.lstrip("rRuU")[quotes:-quotes]
    (statement,) = parse(literal).body
    return statement.value.value  # pyright: ignore[reportAttributeAccessIssue]


class _UnclearError(Exception):
    """The text leaves a doubt that only a parser can settle."""


def _starts(text: str) -> list[int]:
    """Where the lines begin that stand in the first column and in no string, then the text's length.

    Each is a statement of the top level, or the rest of one that goes on from a bracket. Raises _UnclearError.
    """
    if "\f" in text and _FORM_FEED.search(text):
        raise _UnclearError
    starts = [match.end() for match in _STATEMENT.finditer(text)]
    starts.pop()  # the empty match at the text's end
    if any(text[start - 1] != "\n" or text[start] == "\\" for start in starts[:-1]):
        raise _UnclearError
    return starts


def _documented(text: str, starts: list[int]) -> Iterator[Found]:
    """Name, start, code and docstring literal of each documented function. Raises _UnclearError."""
    above, passed = -1, 0  # where the decorators of what comes next begin and end
    for here, following in zip(starts, starts[1:], strict=False):
        if here < passed:  # in a decorator's brackets
            continue
        if text[here] == "@":
            decorator = _DECORATOR.match(text, here)
            if decorator is None:
                raise _UnclearError
            above, passed = here if above < 0 else above, decorator.end()
            continue
        decorated, start, above = above >= 0, here if above < 0 else above, -1
        defines = text.startswith(("def", "async", "class"), here) and _KEYWORD.match(text, here)
        if decorated and not (defines and _is_balanced(text, start, here)):
            raise _UnclearError
        if not defines or text.startswith("class", here):
            continue
        head = _HEAD.match(text, here)
        if head is None or head.end() > following or head["unclear"]:
            raise _UnclearError
        literal = head["literal"]
        if literal and (_PLAIN.match(literal) or inspect.cleandoc(value(literal))):
            # No bracket can be open before a def or class, so a count is needed before other words only.
            ended = following == len(text) or text.startswith(("def ", "class "), following)
            if not ended and not _is_balanced(text, here, following):
                raise _UnclearError
            yield Found(_normal(head["name"]), start, _code(text[start:following]), literal)


def parsed(text: str) -> Iterator[Found]:
    """The same by way of a full parse. Raises Unreadable."""
    lines = text.split("\n")
    begins = list(accumulate((len(line) + 1 for line in lines), initial=0))

    def offset(line: int, column: int) -> int:
        return begins[line - 1] + len(lines[line - 1].encode()[:column].decode())  # columns count bytes of UTF-8

    for node in parse(text).body:
        if isinstance(node, FunctionNode) and ast.get_docstring(node):
            start = offset(node.lineno, node.col_offset)
            if node.decorator_list:
                expression = node.decorator_list[0]
                start = text.rindex("@", 0, offset(expression.lineno, expression.col_offset))
            end = offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
            yield Found(node.name, start, text[start:end], repr(ast.get_docstring(node, clean=False)))


def _is_balanced(text: str, start: int, end: int) -> bool:
    match = _BALANCED.match(text, start, end)
    return match is not None and match.end() == end


def _code(piece: str) -> str:
    """A statement without what follows its last token: blank lines, comments, an idle backslash."""
    code = piece.rstrip()
    if "#" in code[code.rfind("\n") + 1 :] and (tokens := _LAST_TOKEN.match(code)):
        code = code[: tokens.end()]
    return code.rstrip("\\ \t\f\n")


def _normal(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFKC", name)  # as Python reads identifiers

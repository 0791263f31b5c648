"""Markdown: tables, sections, fenced code."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lib.core.programs import joined, parsed

RULES = {"l": "---", "r": "---:"}
FENCE = "```"
PYTHON = r"python[ \t]*"  # what follows the opening fence of a block of Python, as a regular expression


class Block(NamedTuple):
    """A fenced block of a text: its code, its fence, and where in the text it begins and ends, fences included."""

    code: str
    fence: str
    start: int
    end: int


def table(heads: Sequence[str], align: str, rows: Iterable[Sequence[object]]) -> str:
    """Return a table; `align` has one letter per column, l or r. Numbers are formatted by the caller."""
    lines = [heads, [RULES[side] for side in align], *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def sections(text: str) -> dict[str, str]:
    """Split a Markdown text at its `## Name` lines into {name in lower case: body}; fenced lines are body."""
    found: dict[str, list[str]] = {}
    body: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith(FENCE)
        if line.startswith("## ") and not fenced:
            body = found.setdefault(line[3:].strip().lower(), [])
        else:
            body.append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def fenced(code: str, fence: str = FENCE) -> str:
    """Return code inside a python fence."""
    return f"{fence}python\n{code.strip()}\n{fence}"


def blocks(text: str, tag: str = PYTHON) -> list[Block]:
    """Return the fenced blocks of a text, in order; `tag` is a regular expression for what follows the opening fence.

    A fence is a line that begins with three or more backticks or tildes; a line that begins with as many ends the
    block. Such a line may also stand in a string of the code. So the block ends at the first one at which its code
    parses as Python, and where it parses at none, at the first of all.
    """
    opening = re.compile(rf"^(`{{3,}}|~{{3,}}){tag}\n", re.MULTILINE)
    found, place = list[Block](), 0
    while opened := opening.search(text, place):
        fence, place = opened[1], opened.end()
        ends = [closed.start() for closed in re.compile(f"^{fence}", re.MULTILINE).finditer(text, place)]
        if ends:
            end = ends[0]
            if len(ends) > 1:  # saves the parsing, which takes longer than all the rest
                end = next((later for later in ends if parsed(text[place:later]) is not None), end)
            found.append(Block(text[place:end], fence, opened.start(), end + len(fence)))
            place = found[-1].end
    return found


def code_of(text: str) -> str:
    """Return the python blocks of a text as one program, joined by a blank line; empty when there is none."""
    return joined([block.code.strip("\n") for block in blocks(text)])

"""Markdown: tables, sections, fenced code."""

import re
from collections.abc import Iterable, Sequence

RULES = {"l": "---", "r": "---:"}
BLOCK = re.compile(r"^```python[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


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
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            body = found.setdefault(line[3:].strip().lower(), [])
        else:
            body.append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def fenced(code: str) -> str:
    """Return code inside a python fence."""
    return f"```python\n{code.strip()}\n```"


def code_of(text: str) -> str:
    """Return the ```python blocks of a text, joined by a blank line; empty when there is none."""
    return "\n\n".join(block.strip("\n") for block in BLOCK.findall(text))

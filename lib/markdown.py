"""Tables in Markdown, for cards, reports and the README."""

from collections.abc import Iterable, Sequence

RULES = {"l": "---", "r": "---:"}


def table(heads: Sequence[str], align: str, rows: Iterable[Sequence[object]]) -> str:
    """Return a table; `align` has a letter a column, l or r. Numbers come formatted."""
    lines = [heads, [RULES[side] for side in align], *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)

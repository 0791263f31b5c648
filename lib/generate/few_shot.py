"""The layout of a few-shot prompt."""

from collections.abc import Sequence

# The first line of each example; a completion that begins another example is finished.
NEXT_EXAMPLE = "## Example"


def prompt(system: str, shown: Sequence[str], query: str) -> str:
    """Lay out a plain completion prompt: system text, numbered examples, and the query, whose answer is missing."""
    blocks = [system, *(f"{NEXT_EXAMPLE} {number}\n{text}" for number, text in enumerate([*shown, query], 1))]
    return "\n\n".join(blocks).rstrip()

"""The layout of a few-shot prompt."""

from collections.abc import Sequence

from lib.generate.tokens import tokens_at_most as tokens_at_most  # for lib/curate/judge.py

# An exemplar of a deck begins so; a completion that starts the next exemplar has said all it had to say.
NEXT_EXAMPLE = "## Example"


def prompt(system: str, shown: Sequence[str], query: str) -> str:
    """Lay out a plain completion prompt: system text, numbered examples, and the query left open."""
    blocks = [system, *(f"{NEXT_EXAMPLE} {number}\n{text}" for number, text in enumerate([*shown, query], 1))]
    return "\n\n".join(blocks).rstrip()

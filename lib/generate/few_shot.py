"""The layout of a few-shot prompt, and how long a text may be in tokens."""

import re
from collections.abc import Sequence

# An exemplar of a deck begins so; a completion that starts the next exemplar has said all it had to say.
NEXT_EXAMPLE = "## Example"


def tokens_at_most(text: str) -> int:
    """Return a bound on a text's tokens: a letter group counts for each four letters, any other byte for itself."""
    return len(re.findall(rb"[A-Za-z]{1,4}|\s+|[^A-Za-z\s]", text.encode("utf-8", "surrogatepass")))


def prompt(system: str, shown: Sequence[str], query: str) -> str:
    """Lay out a plain completion prompt: system text, numbered examples, and the query left open."""
    blocks = [system, *(f"{NEXT_EXAMPLE} {number}\n{text}" for number, text in enumerate([*shown, query], 1))]
    return "\n\n".join(blocks).rstrip()

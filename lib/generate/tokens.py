"""How many tokens a text has: counted with a model's own tokenizer, or bounded without one."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def tokens_at_most(text: str) -> int:
    """Return the number of UTF-8 bytes: tokens of a byte-level tokenizer have a byte or more, so there are no more."""
    return len(text.encode("utf-8", "surrogatepass"))


def count_tokens(folder: Path, text: str) -> int:
    """Return the number of tokens for the model in `folder`; the bound if it has no tokenizer.json."""
    path = folder / "tokenizer.json"
    return len(_tokenizer(path).encode(text).ids) if path.is_file() else tokens_at_most(text)


@cache
def _tokenizer(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()  # which some files ask for; a truncated text would be counted short
    return tokenizer

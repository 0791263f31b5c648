"""How many tokens a text has: counted with a model's own tokenizer, or bounded without one."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lib.core.tokenizer import DESCRIPTION, described

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def tokens_at_most(text: str) -> int:
    """Return the number of UTF-8 bytes, plus one for a token with which texts may begin.

    Tokens of a byte-level tokenizer have a byte or more, so there are no more.
    """
    return len(text.encode("utf-8", "surrogatepass")) + 1


def count_tokens(folder: Path, text: str) -> int:
    """Return the number of tokens for the model in `folder`, with that which it begins texts with, if it has one.

    If it has no tokenizer.json, return the bound.
    """
    if not (folder / DESCRIPTION).is_file():
        return tokens_at_most(text)
    tokenizer, first = _tokenizer(folder)
    return len(first) + len(tokenizer.encode(text, add_special_tokens=False).ids)


@cache
def _tokenizer(folder: Path) -> tuple["Tokenizer", list[int]]:
    return described(folder)

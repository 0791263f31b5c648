"""Text as text: what UTF-8 can hold, and tokens of which none is a control token that only stands in the text."""

import json
from collections.abc import Callable
from typing import Any

UNENCODABLE = "text that UTF-8 cannot hold"


def encodable(text: str) -> bool:
    r"""Return whether UTF-8 can hold a text: not with a lone surrogate, as "\ud83d" makes one in Python and in JSON."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def speller(tokenizer: Any) -> Callable[[str], list[int]]:
    """Return a function from a text to its tokens by a Hugging Face tokenizer, with nothing put around them.

    What looks like a control token in the text ("<|im_end|>" in a string of a program) is spelled out: as a token, it
    would end the model's turn there. So is any other word added to the vocabulary, because some control tokens are not
    marked as special (Qwen's "<tool_call>"); added white space, which many code models have, stays one token.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # a tokenizer written in Python
        return lambda text: tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    from tokenizers import Tokenizer  # late: a replay does without it

    facts = json.loads(backend.to_str())
    for token in facts["added_tokens"]:
        token["special"] = not token["content"].isspace()
    plain = Tokenizer.from_str(json.dumps(facts))
    plain.encode_special_tokens = True  # encodes what they are written with, not the tokens
    plain.no_truncation()
    plain.no_padding()
    return lambda text: plain.encode(text, add_special_tokens=False).ids


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Return how a tokenizer's control tokens are written, by their number.

    In a spelled text one is left where the tokenizer looks whole words up in its vocabulary (WordLevel, Unigram).
    """
    return {number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special}

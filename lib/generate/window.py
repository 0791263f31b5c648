"""Requests that a model's window cannot hold: what engines say of them, and the completion that they get."""

import re

from lib.core.records import Record

# OpenAI, vLLM, llama.cpp and SGLang; text-generation-inference; TensorRT-LLM and several services. What a server says
# of max_tokens alone does not count: every request has the same, so it has to be put right.
_SAID = re.compile(
    r"context[_ ](?:length|size|window|limit)|maximum (?:model|prompt) length|model token limit|string_above_max_length"
    r"|max_tokens must be at least 1, got 0"  # what vLLM's server makes of a prompt that just fills the window
    r"|\binputs?`? (?:must have less than|tokens \+)"
    r"|\b(?:inputs?|prompt)\b.{0,80}\b(?:too long|too large|exceeds?|should not exceed)\b",
    re.IGNORECASE,
)


def says_too_long(message: str) -> bool:
    """Return whether an engine's message says that a request is longer than its window."""
    return _SAID.search(message) is not None


def too_long() -> Record:
    """Return the completion of a request that the window cannot hold: without text, and without cost."""
    return {"text": "", "finish_reason": "too long", "prompt_tokens": 0, "cached_tokens": 0, "tokens": 0}

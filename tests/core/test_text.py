"""Text as text: lone surrogates, and control tokens that are only written about."""

from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lib.core.text import control_tokens, encodable, speller

SPECIAL = ["<|im_start|>", "<|im_end|>", "</s>", "<|endoftext|>", "<|eot_id|>", "[INST]", "<｜end▁of▁sentence｜>"]
ADDED = ["<tool_call>", "<|fim_prefix|>", "<think>"]  # words that are not marked as special, as Qwen has them
RUN = " " * 8  # white space, as GPT-NeoX and Phi have it


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        ["return text.replace"],
        trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL[:2], initial_alphabet=alphabet),
    )
    backend.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL])
    backend.add_tokens([*ADDED, AddedToken(RUN, normalized=False)])
    backend.enable_truncation(5)
    backend.enable_padding(length=40)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")


@pytest.mark.parametrize("word", [*SPECIAL, *ADDED])
def test_what_looks_like_a_control_token_is_spelled_out(tokenizer: Any, word: str) -> None:
    spelled = speller(tokenizer)
    for text in (word, f"return t.replace('{word}', '')\n", f"{word}{word}", f"<|im_start|>{word}\n\n{word} "):
        tokens = spelled(text)
        assert not set(tokens) & tokenizer.added_tokens_decoder.keys()
        assert tokenizer.decode(tokens) == text
    assert tokenizer.convert_tokens_to_ids(word) in tokenizer(word).input_ids  # its owner still knows it


def test_all_other_text_is_tokenized_as_ever(tokenizer: Any) -> None:
    spelled = speller(tokenizer)
    text = f"def f(text):\n{RUN}return text.replace('é', '\n\n')\n"
    assert spelled(text) == tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.convert_tokens_to_ids(RUN) in spelled(text)
    assert set(control_tokens(tokenizer).values()) == {*SPECIAL, "[PAD]"}


def test_half_a_character_is_not_encodable() -> None:
    assert encodable("") and encodable("é😀\0\ufffe")
    assert not encodable("\ud83d") and not encodable("x\ude00") and not encodable("\ude00\ud83d")

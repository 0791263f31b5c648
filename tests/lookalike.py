"""Small tokenizers that look like those of real models: vocabulary as in SentencePiece, or byte-level."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from lib.core.tokenizer import PIECES

SPECIAL = ["<unk>", "<s>", "</s>"]
TEXTS = [text.encode("ascii", "ignore").decode() for text in PIECES.values()]


def metaspace() -> Tokenizer:
    """Spaces are written ▁, one is put before a text, and unknown characters fall back to bytes (CodeQwen1.5)."""
    trained = Tokenizer(models.BPE(unk_token=SPECIAL[0]))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=250, special_tokens=SPECIAL))
    facts = json.loads(trained.to_str())["model"]
    vocab = facts["vocab"] | {f"<0x{byte:02X}>": len(facts["vocab"]) + byte for byte in range(256)}
    merges = [tuple(pair) for pair in facts["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token=SPECIAL[0], fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def byte_level() -> Tokenizer:
    """Texts are cut as Qwen2's are, and every byte is a token."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=350, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    return tokenizer


def around(tokenizer: Tokenizer, *single: str) -> Tokenizer:
    """Let a tokenizer's post-processor make `single` of a text "$A"."""
    named = [(token, SPECIAL.index(token)) for token in single if token in SPECIAL]
    tokenizer.post_processor = processors.TemplateProcessing(single=list(single), special_tokens=named)
    return tokenizer


def write(folder: Path, tokenizer: Tokenizer, kind: str, **settings: Any) -> Path:
    """Write what a model's folder says of its tokenizer, for a model of this kind, and return the folder."""
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | settings))
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    return folder


def like_codeqwen(folder: Path, **settings: Any) -> Path:
    """The kind of model says qwen2, for which transformers 5 takes a byte-level class whatever is declared."""
    return write(folder, metaspace(), "qwen2", tokenizer_class="PreTrainedTokenizerFast", **settings)


def like_deepseek_coder(folder: Path) -> Path:
    """Byte-level, with a class declared that writes spaces as ▁; BOS is asked for in the settings only."""
    return write(folder, byte_level(), "llama", tokenizer_class="LlamaTokenizerFast", add_bos_token=True)

"""A two-layer Qwen2 with random weights, examples it can learn, and a recipe: real training in a second."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from lib.core.models import Model
from lib.train.recipe import Recipe
from lib.train.template import render_example

SOURCE = {"package": "toolbox", "version": "1.0", "licence": "MIT", "path": "toolbox/a.py", "line": 1}
EXAMPLES = [
    {
        "id": f"{n:03d}",
        "instruction": f"  Write a function that adds {n} to a number.\n" + "It is simple. " * (n % 5),
        "response": f"```python\ndef add_{n}(x):\n    return x + {n}\n```",
        "source": SOURCE,
    }
    for n in range(24)
]
RECIPE = Recipe(epochs=4, learning_rate=3e-2, batch=4, micro_batch=2, lora_rank=4, checkpoint_steps=3, dtype="float32")


def make(path: Path) -> Model:
    """Write the model and a byte-level tokenizer trained on the examples; its configuration asks for dropout."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = ["".join(render_example(e["instruction"], e["response"])) for e in EXAMPLES]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(path)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True, attention_dropout=0.1, eos_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(path)
    return Model("tiny", path, "r1", "Apache-2.0", "0" * 64, "random weights")

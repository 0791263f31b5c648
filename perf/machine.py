"""The peak of this machine, as its rate of bfloat16 matrix products, and the matrix products that a model needs."""

import time
from pathlib import Path

import torch
from transformers import AutoConfig

SIDE = 2048  # of the square matrices that are multiplied


def matrix_rate() -> float:
    """Return the rate of bf16 matrix products in operations per second (a multiply-add is two)."""
    one, other = (torch.randn(SIDE, SIDE, dtype=torch.bfloat16) for _ in range(2))
    torch.mm(one, other)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 2:
        torch.mm(one, other)
        count += 1
    return 2 * SIDE**3 * count / (time.perf_counter() - start)


def matrices(folder: Path) -> tuple[int, int]:
    """Return the number of weights in a model's matrices: of all layers, and of the head."""
    config = AutoConfig.from_pretrained(folder)
    heads = config.hidden_size // config.num_attention_heads
    attention = config.hidden_size * heads * (2 * config.num_attention_heads + 2 * config.num_key_value_heads)
    layers = config.num_hidden_layers * (attention + 3 * config.hidden_size * config.intermediate_size)
    return layers, config.hidden_size * config.vocab_size

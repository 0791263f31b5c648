"""Training tokens per second: `python -m perf.sft [EXAMPLES [ROUNDS]]`.

The study's packed batches beside the plain padded loop (as in the official train.py: examples in random order, padded
to the longest of their micro-batch, the loss from the logits of every token), with one example in memory, as its recipe
says, and with as many as the study has. Model, adapters, precision and examples are the laptop profile's, from the
recorded run. Only real tokens count. The schemes take turns, and each shows its best round. Beside them are the
machine's rate of bf16 matrix products and the share of it that the necessary arithmetic took.
"""

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lib.core.models import Model, resolve
from lib.core.notebooks import parameter_defaults
from lib.core.paths import ROOT
from lib.core.records import Record, read_records
from lib.runner.run import ENVIRONMENT
from lib.train.finetune import trainable
from lib.train.packing import batch_of, count_trained, loss_sum
from lib.train.recipe import Recipe
from lib.train.template import IGNORED, encode, load_tokenizer
from lib.train.trainer import balanced
from perf.machine import matrices, matrix_rate

DEFAULTS = parameter_defaults("04_sft")
OURS = "packed, ours"
Scheme = tuple[Callable[[list[Record]], torch.Tensor], list[list[Record]]]


def padded(model: torch.nn.Module, rows: list[Record]) -> torch.Tensor:
    """Return the summed loss of rows as a padded batch, by transformers' own attention and loss."""
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "labels": IGNORED}
    batch = {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
        for name, value in fill.items()
    }
    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows])
    return model(**batch, attention_mask=mask, use_cache=False).loss * count_trained(rows)


def necessary(folder: Path, recipe: Recipe, tokens: int, trained: int) -> float:
    """Return how many operations of matrix products one pass over the examples needs.

    With adapters: forward, and backward to the activations; the head for trained tokens only. Not counted are the
    adapters themselves and attention, a few per cent.
    """
    layers, head = matrices(folder)
    passes = 3 if recipe.method == "full" else 2
    return 2.0 * passes * (layers * tokens + head * trained)


def schemes_of(model: Model, recipe: Recipe, rows: list[Record]) -> dict[str, Scheme]:
    """Return, by name, how a batch's loss is computed and the batches of one pass over encoded rows."""
    order = random.Random(0).sample(rows, len(rows))
    plain, packed = trainable(model, recipe), trainable(model, recipe)
    plain.set_attn_implementation("sdpa")
    schemes: dict[str, Scheme] = {}
    for size in (1, recipe.micro_batch):
        batches = [order[place : place + size] for place in range(0, len(order), size)]
        schemes[f"padded, {size} at a time"] = lambda batch: padded(plain, batch), batches
    packs = balanced([len(row["input_ids"]) for row in order], recipe, 0, 1)
    schemes[OURS] = (
        lambda batch: loss_sum(packed, batch_of(batch)),
        [[order[place] for place in pack] for pack in packs],
    )
    return schemes


def measure(scheme: Scheme) -> tuple[float, float]:
    """Return the seconds and the summed loss of one pass, forward and backward."""
    loss_of, batches = scheme
    start, total = time.perf_counter(), 0.0
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(batch)
        loss.backward()
        total += loss.item()
    return time.perf_counter() - start, total


def main() -> None:
    """Print one line per scheme."""
    count, rounds = (int(argument) for argument in [*sys.argv[1:], *("32", "3")[len(sys.argv) - 1 :]])
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):  # as notebooks run: lib.runner.run
        os.execve(sys.executable, [sys.executable, "-m", "perf.sft", *sys.argv[1:]], os.environ | ENVIRONMENT)
    recipe = Recipe(**{name.lower(): DEFAULTS[name] for name in ("BATCH", "MICRO_BATCH", "METHOD", "LORA_RANK")})
    model = resolve(DEFAULTS["MODEL"])
    examples = read_records(ROOT / "data/reference/laptop/03_execution_filtering/dataset.jsonl.gz")[:count]
    rows, _ = encode(examples, load_tokenizer(model.path), recipe.max_length)
    schemes = schemes_of(model, recipe, rows)
    tokens, trained, rate = sum(len(row["input_ids"]) for row in rows), count_trained(rows), matrix_rate()
    print(f"{len(rows)} examples, {tokens:,} tokens, {trained:,} of them trained; {rate / 1e12:.2f} bf16 Tflop/s")
    passes = [{name: measure(scheme) for name, scheme in schemes.items()} for _ in range(rounds)]
    best = {name: min(taken[name] for taken in passes) for name in schemes}
    for name, (seconds, loss) in best.items():
        width = sum(len(batch) * max(len(row["input_ids"]) for row in batch) for batch in schemes[name][1])
        padding = 0.0 if name == OURS else 1 - tokens / width
        share = necessary(model.path, recipe, tokens, trained) / seconds / rate
        print(
            f"{name:20} {tokens / seconds:6,.0f} tokens/s  {padding:4.0%} padding  loss {loss / trained:.4f}  "
            f"{share:4.0%} of the matrix rate  ours is {seconds / best[OURS][0]:.2f} times as fast",
            flush=True,
        )


if __name__ == "__main__":
    main()

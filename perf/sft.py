"""Training tokens per second: `python -m perf.sft [EXAMPLES [ROUNDS]]`.

The study's packed batches beside the plain padded loop (train.py of StarCoder2-Instruct, in our own words: examples in
random order, padded to the longest of their micro-batch, the loss from the logits of every token), with one example in
memory, as its recipe says, and with as many as the study has. Model, adapters, precision and examples are the same: the
laptop profile's, from the recorded run. Only real tokens count. The schemes take turns, and each round's rate is shown
by its best. Beside them stand the machine's bf16 matrix rate and the share of it that the necessary arithmetic took.
"""

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lib.core.models import resolve
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
    """Return the operations of the matrices that one pass over the examples needs.

    With adapters: forward, and backward to the activations; the head for trained tokens only. The adapters themselves
    and attention, some per cent, are left out.
    """
    layers, head = matrices(folder)
    passes = 3 if recipe.method == "full" else 2
    return 2.0 * passes * (layers * tokens + head * trained)


def main() -> None:
    """Print a line a scheme."""
    count, rounds = (int(argument) for argument in [*sys.argv[1:], *("32", "3")[len(sys.argv) - 1 :]])
    if any(
        os.environ.get(name) != value for name, value in ENVIRONMENT.items()
    ):  # as notebooks run: see lib.runner.run
        os.execve(sys.executable, [sys.executable, "-m", "perf.sft", *sys.argv[1:]], os.environ | ENVIRONMENT)
    names = {"batch": "BATCH", "micro_batch": "MICRO_BATCH", "method": "METHOD", "lora_rank": "LORA_RANK"}
    recipe = Recipe(**{field: DEFAULTS[name] for field, name in names.items()})
    model = resolve(DEFAULTS["MODEL"])
    examples = read_records(ROOT / "data/reference/laptop/03_execution_filtering/dataset.jsonl.gz")[:count]
    rows, _ = encode(examples, load_tokenizer(model.path), recipe.max_length)
    order = random.Random(0).sample(rows, len(rows))

    def in_order(size: int) -> list[list[Record]]:
        return [order[i : i + size] for i in range(0, len(order), size)]

    packs = [[order[i] for i in batch] for batch in balanced([len(r["input_ids"]) for r in order], recipe, 0, 1)]
    plain, packed = trainable(model, recipe), trainable(model, recipe)
    plain.set_attn_implementation("sdpa")
    schemes: dict[str, tuple[Callable[[list[Record]], torch.Tensor], list[list[Record]]]] = {
        "padded, 1 at a time": (lambda batch: padded(plain, batch), in_order(1)),
        f"padded, {recipe.micro_batch} at a time": (lambda batch: padded(plain, batch), in_order(recipe.micro_batch)),
        OURS: (lambda batch: loss_sum(packed, batch_of(batch)), packs),
    }
    tokens, trained, rate = sum(len(r["input_ids"]) for r in rows), count_trained(rows), matrix_rate()
    print(f"{len(rows)} examples, {tokens:,} tokens, {trained:,} of them trained; {rate / 1e12:.2f} bf16 Tflop/s")
    best, losses = dict.fromkeys(schemes, float("inf")), dict.fromkeys(schemes, 0.0)
    for _ in range(rounds):
        for name, (loss_of, batches) in schemes.items():
            start, losses[name] = time.perf_counter(), 0.0
            for batch in batches:
                with torch.autocast("cpu", torch.bfloat16):
                    loss = loss_of(batch)
                loss.backward()
                losses[name] += loss.item() / trained
            best[name] = min(best[name], time.perf_counter() - start)
    for name, (_, batches) in schemes.items():
        width = sum(len(batch) * max(len(row["input_ids"]) for row in batch) for batch in batches)
        padding = 0.0 if name == OURS else 1 - tokens / width
        share = necessary(model.path, recipe, tokens, trained) / best[name] / rate
        print(
            f"{name:20} {tokens / best[name]:6,.0f} tokens/s  {padding:4.0%} padding  loss {losses[name]:.4f}  "
            f"{share:4.0%} of the matrix rate  ours is {best[name] / best[OURS]:.2f} times as fast",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Packed batches: examples end to end without padding, none seeing another; the loss on labelled tokens."""

from __future__ import annotations  # the site reads this without torch

import math
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any
from weakref import WeakSet

import torch
from torch.nn.functional import cross_entropy
from transformers import AttentionInterface, DataCollatorWithFlattening
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface

from lib.core.records import Record, StudyError
from lib.train.template import IGNORED

TOGETHER = 2048  # tokens in memory at once when nothing is trained
ATTENTION = "packed"  # the name under which models are loaded: attn_implementation=ATTENTION
# Lists of {input_ids, labels} -> one row [1, tokens]; position ids restart at each example, cu_seq_lens are borders.
collate = DataCollatorWithFlattening(return_flash_attn_kwargs=True)
apart: WeakSet[torch.nn.Module] = WeakSet()  # the models that `check_apart` has let through


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return causal attention [1, tokens, heads, size] within each example of a packed row [1, heads, tokens, size].

    `cu_seq_lens_q` are the borders [examples + 1] that `collate` returns. PyTorch's attention runs once per example, so
    that packing adds no cost: no mask over the whole row, no kernel of our own.
    Raises ValueError without borders, because examples would attend to each other, and for what PyTorch's attention
    does not support (capped scores, sinks), because it would be ignored silently.
    """
    if cu_seq_lens_q is None:
        raise ValueError(
            "packed attention needs the borders of the examples: make batches with lib.train.packing.collate"
        )
    if unknown := [name for name in ("softcap", "s_aux") if options.get(name) is not None]:
        raise ValueError(f"packed attention does not support {unknown[0]}")
    seen = []
    for begin, end in pairwise(cu_seq_lens_q.tolist()):
        mask = None
        if sliding_window and end - begin > sliding_window:
            mask = torch.ones(end - begin, end - begin, dtype=torch.bool, device=query.device)
            mask = mask.tril().triu(1 - sliding_window)[None, None]
        q, k, v = (states[:, :, begin:end] for states in (query, key, value))
        seen.append(sdpa_attention_forward(module, q, k, v, mask, **options)[0])
    return torch.cat(seen, dim=1), None


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, lambda *_, **__: None)  # the borders replace the mask


def unpackable(kind: str, reason: object) -> StudyError:
    """Return the error for a kind of model that cannot be trained on packed examples."""
    return StudyError(f"examples of a {kind} cannot be packed: {reason}; choose another MODEL")


def logits_at(model: Any, batch: Record, places: torch.Tensor) -> torch.Tensor:
    """Return the logits [places, vocabulary] of a collated batch; the head is computed only there."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    return model(**inputs, logits_to_keep=places, use_cache=False).logits[0].float()


@torch.no_grad()
def check_apart(model: Any, device: torch.device) -> None:
    """Raise StudyError for a model whose packed examples see each other, or their place in the row.

    `packed_attention` heeds the borders of examples, but a convolution, a recurrence or another state may run across
    them. So the same two first tokens of eight examples stand in two rows, where every other token differs and each
    example is one place further on: what the model says after those two must be the same.
    Every process of a sharded model must call this at the same time.
    """
    core = getattr(model, "module", model)  # without what distributes it
    training, config, pick = core.training, core.config, random.Random(0)
    tokens = range(config.get_text_config().vocab_size)
    begun, rest = [pick.choices(tokens, k=2) for _ in range(8)], 6
    # The first token is the one that others reach first, but queries and keys matter only from the second on.
    places = torch.arange(len(begun), device=device)[:, None] * (2 + rest) + torch.arange(2, device=device)
    said = []
    core.eval()
    for row in (begun, begun[-1:] + begun[:-1]):
        examples = [first + pick.choices(tokens, k=rest) for first in row]
        batch = batch_of([{"input_ids": ids, "labels": ids} for ids in examples], device)
        try:
            said.append(logits_at(model, batch, places.flatten()).unflatten(0, places.shape))
        except (TypeError, ValueError) as error:  # it does not take the borders, or needs another attention
            raise unpackable(config.model_type, error) from error
    core.train(training)
    change = ((said[1].roll(-1, 0) - said[0]).std(dim=-1) / said[0].std(dim=-1)).amax(dim=1)
    # Rounding depends on the place in a row, and may even send a token to another expert: the median forgives that.
    exact = {config.dtype, *(parameter.dtype for parameter in core.parameters())} == {torch.float32}
    if change.median() > (1e-4 if exact else 0.1):
        raise unpackable(config.model_type, "it sees more of a row than the earlier tokens of the same example")


def loss_sum(model: Any, batch: Record) -> torch.Tensor:
    """Return the summed loss (nats) over the trained tokens of a collated batch.

    The head, a quarter of a small model's work, is computed only where the next token is trained.
    Raises StudyError, at a model's first batch, if its packed examples do not stay apart (`check_apart`).
    """
    if model not in apart:
        check_apart(model, batch["input_ids"].device)
        apart.add(model)
    labels = batch["labels"][0, 1:]
    places = (labels != IGNORED).nonzero()[:, 0]
    return cross_entropy(logits_at(model, batch, places), labels[places], reduction="sum")


def count_trained(rows: Sequence[Record]) -> int:
    """Return on how many tokens of encoded rows the loss is taken."""
    return sum(label != IGNORED for row in rows for label in row["labels"])


def chunks(rows: Sequence[Record], tokens: int) -> Iterator[list[Record]]:
    """Yield rows in order, in lists of at most `tokens` tokens (or of one longer row)."""
    chunk: list[Record] = []
    for row in rows:
        if chunk and sum(len(r["input_ids"]) for r in [*chunk, row]) > tokens:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def batch_of(rows: Sequence[Record], device: torch.device | str = "cpu") -> Record:
    """Return encoded rows as one packed batch on a device."""
    batch = collate([{name: row[name] for name in ("input_ids", "labels")} for row in rows])
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}


@torch.no_grad()
def total_loss(
    model: Any,
    rows: Sequence[Record],
    device: torch.device,
    tokens: int = TOGETHER,
    process: int = 0,
    processes: int = 1,
) -> torch.Tensor:
    """Return the summed loss (nats) on the share of encoded rows that one of `processes` takes.

    All processes compute equally many parts of at most `tokens` tokens, as a sharded model requires: one with none left
    repeats the last part and discards its loss.
    """
    model.eval()
    parts = list(chunks(rows, tokens))
    total = torch.zeros((), dtype=torch.float64, device=device)
    for place in range(process, math.ceil(len(parts) / processes) * processes, processes):
        loss = loss_sum(model, batch_of(parts[min(place, len(parts) - 1)], device))
        total += loss * (place < len(parts))
    return total


def mean_loss(model: Any, rows: Sequence[Record], tokens: int = TOGETHER) -> float:
    """Return the mean loss (nats per trained token) of a model loaded with ATTENTION on encoded rows."""
    return total_loss(model, rows, model.device, tokens).item() / count_trained(rows)

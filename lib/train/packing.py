"""Packed batches: examples end to end without padding, each attending only to itself; the loss on labelled tokens."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AttentionInterface, DataCollatorWithFlattening
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface

from lib.core.records import Record
from lib.train.template import IGNORED

TOGETHER = 2048  # tokens in memory at once when nothing is trained
ATTENTION = "packed"  # the name under which models are loaded: attn_implementation=ATTENTION
# Lists of {input_ids, labels} -> one row [1, tokens]; position ids restart at each example, cu_seq_lens are borders.
collate = DataCollatorWithFlattening(return_flash_attn_kwargs=True)


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
        raise ValueError(f"packed attention does not support {unknown[0]}: choose another MODEL")
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


def loss_sum(model: Any, batch: Record) -> torch.Tensor:
    """Return the summed loss (nats) over the trained tokens of a collated batch.

    The head, a quarter of a small model's work, is computed only where the next token is trained.
    """
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    labels = batch["labels"][0, 1:]
    places = (labels != IGNORED).nonzero()[:, 0]
    logits = model(**inputs, logits_to_keep=places, use_cache=False).logits[0]
    return cross_entropy(logits.float(), labels[places], reduction="sum")


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

"""Packed batches: loss and gradients are those of the examples one by one, for several kinds of model."""

from collections.abc import Callable

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Starcoder2Config,
    Starcoder2ForCausalLM,
)

from lib.train.packing import ATTENTION, batch_of, chunks, count_trained, loss_sum, mean_loss
from lib.train.template import IGNORED

SIZES = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.3,
}  # fmt: skip
KINDS = {
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "starcoder2": lambda: Starcoder2ForCausalLM(Starcoder2Config(**SIZES)),
    # every second layer attends to 16 tokens, fewer than an example has
    "gemma3, sliding": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=16, layer_types=["sliding_attention", "full_attention"])
    ),
}


def rows(lengths: tuple[int, ...] = (50, 7, 31, 22, 2)) -> list[dict]:
    """Examples of random tokens; the first half of each is a prompt."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for n in lengths:
        ids = torch.randint(1, 97, (n,), generator=generator).tolist()
        made.append({"input_ids": ids, "labels": [IGNORED] * (n // 2) + ids[n // 2 :]})
    return made


def alone(model: torch.nn.Module, row: dict) -> torch.Tensor:
    """The summed loss of one example by transformers' own attention, mask and loss."""
    ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
    return model(input_ids=ids, labels=labels).loss * count_trained([row])


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path) -> tuple[torch.nn.Module, torch.nn.Module]:
    """One model twice: as transformers runs it, and with packed attention."""
    torch.manual_seed(0)
    KINDS[request.param]().save_pretrained(tmp_path)
    load: Callable = AutoModelForCausalLM.from_pretrained
    return load(tmp_path, attn_implementation="eager"), load(tmp_path, attn_implementation=ATTENTION)


def test_a_packed_row_has_the_loss_and_gradients_of_its_examples(pair) -> None:
    plain, packed = pair
    wanted = torch.stack([alone(plain, row) for row in rows()]).sum()
    got = loss_sum(packed, batch_of(rows()))
    assert got.item() / count_trained(rows()) == pytest.approx(wanted.item() / count_trained(rows()), abs=1e-4)
    wanted.backward()
    got.backward()
    for (name, one), other in zip(plain.named_parameters(), packed.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, atol=2e-3, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}")


def test_examples_that_attend_to_each_other_have_another_loss(pair) -> None:
    """Packed wrongly, as one long text, the loss differs: the test above can fail."""
    plain, packed = pair
    row = {name: sum((r[name] for r in rows()), []) for name in ("input_ids", "labels")}
    apart = loss_sum(packed, batch_of(rows())) / count_trained(rows())
    assert abs(apart.item() - alone(plain, row).item() / count_trained([row])) > 1e-2


def test_the_order_and_the_neighbours_do_not_matter(pair) -> None:
    _, packed = pair
    for tokens in (1, 60, 10_000):
        assert mean_loss(packed, rows()[::-1], tokens) == pytest.approx(mean_loss(packed, rows()), abs=1e-4)


def test_batches_without_borders_are_refused(pair) -> None:
    _, packed = pair
    with pytest.raises(ValueError, match="borders"):
        packed(input_ids=torch.tensor([[1, 2, 3]]))


def test_chunks_keep_every_row_and_the_limit() -> None:
    parts = list(chunks(rows(), 60))
    assert sum(parts, []) == rows() and len(parts) > 1
    assert all(len(part) == 1 or sum(len(r["input_ids"]) for r in part) <= 60 for part in parts)
    assert [len(part) for part in chunks(rows(), 1)] == [1] * len(rows())

"""Packed batches: loss and gradients are those of the examples one by one; a model whose examples mix is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    Gemma2Config,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GraniteMoeHybridConfig,
    Lfm2Config,
    LlamaConfig,
    LlamaForCausalLM,
    MiniMaxConfig,
    MixtralConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
    RecurrentGemmaConfig,
    Starcoder2Config,
    Starcoder2ForCausalLM,
    ZayaConfig,
)

from lib.core.records import StudyError
from lib.train.packing import ATTENTION, batch_of, check_apart, chunks, count_trained, loss_sum, mean_loss
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
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
EXPERTS = {"num_local_experts": 8, "num_experts_per_tok": 2, "num_hidden_layers": 8}
# All of them support an attention of one's own, which is not all that they have.
MIXING = {
    "convolution": lambda: Lfm2Config(**SIZES, layer_types=["conv", "full_attention"]),
    "state space": lambda: GraniteMoeHybridConfig(
        **SIZES, **MAMBA, layer_types=["mamba", "attention"], num_local_experts=0, shared_intermediate_size=64
    ),
    "recurrence": lambda: RecurrentGemmaConfig(**SIZES, block_types=["recurrent", "attention"], lru_width=32),
    "linear attention": lambda: MiniMaxConfig(**SIZES, num_local_experts=2),
    "convolved queries": lambda: ZayaConfig(
        **SIZES, head_dim=8, num_experts=2, moe_intermediate_size=16, router_hidden_size=16
    ),
    "later tokens": lambda: BertConfig(**SIZES),
}
RIGHT = {
    "dropout": lambda: Qwen2Config(**SIZES, attention_dropout=0.5),
    "learned positions": lambda: GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3),
    "experts": lambda: MixtralConfig(**SIZES | EXPERTS),
}
MIXED = "^examples of a [a-z0-9_]+ cannot be packed: it sees more of a row than .*; choose another MODEL$"


def random_model(config: Any, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """A model with packed attention and random weights, ready to be trained."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION, dtype=dtype).train()


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", MIXING)
def test_a_model_whose_packed_examples_see_each_other_is_refused(kind: str, dtype: torch.dtype) -> None:
    """The attention of these models can be replaced, so that they were trained on mixed examples without a word."""
    with pytest.raises(StudyError, match=MIXED):
        loss_sum(random_model(MIXING[kind](), dtype), batch_of(rows()))


def test_a_weak_state_is_found_in_float32() -> None:
    """In a fresh model little of an example reaches the next one, until training changes that."""
    config = Lfm2Config(**SIZES | {"initializer_range": 0.02}, layer_types=["conv", "full_attention"])
    with pytest.raises(StudyError, match=MIXED):
        loss_sum(random_model(config), batch_of(rows()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", RIGHT)
def test_a_model_whose_packed_examples_stay_apart_is_not_refused(kind: str, dtype: torch.dtype) -> None:
    """Neither dropout, nor rounding, nor experts that are chosen by rounded numbers look like a neighbour."""
    assert loss_sum(random_model(RIGHT[kind](), dtype), batch_of(rows())).isfinite()


def test_a_model_that_ignores_where_an_example_begins_is_refused() -> None:
    model = random_model(RIGHT["learned positions"]())
    model.register_forward_pre_hook(lambda _, args, options: (args, options | {"position_ids": None}), with_kwargs=True)
    with pytest.raises(StudyError, match=MIXED):
        loss_sum(model, batch_of(rows()))


def test_what_packed_attention_does_not_support_is_refused_in_one_line() -> None:
    with pytest.raises(StudyError, match=r"^examples of a gemma2 .* does not support softcap; choose another MODEL$"):
        loss_sum(random_model(Gemma2Config(**SIZES, head_dim=8)), batch_of(rows()))


def test_a_model_is_checked_once_without_dropout_and_left_as_it_was() -> None:
    model, modes = random_model(RIGHT["dropout"]()), []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    state = torch.get_rng_state()
    check_apart(model, torch.device("cpu"))
    assert modes == [False, False] and torch.equal(torch.get_rng_state(), state)
    loss_sum(model, batch_of(rows())).backward()
    loss_sum(model, batch_of(rows())).backward()
    assert modes[2:] == [False, False, True, True]


def test_batches_without_borders_are_refused(pair) -> None:
    _, packed = pair
    with pytest.raises(ValueError, match="borders"):
        packed(input_ids=torch.tensor([[1, 2, 3]]))


def test_chunks_keep_every_row_and_the_limit() -> None:
    parts = list(chunks(rows(), 60))
    assert sum(parts, []) == rows() and len(parts) > 1
    assert all(len(part) == 1 or sum(len(r["input_ids"]) for r in part) <= 60 for part in parts)
    assert [len(part) for part in chunks(rows(), 1)] == [1] * len(rows())

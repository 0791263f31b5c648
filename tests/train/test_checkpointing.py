"""Gradient checkpointing saves memory and changes nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_finetune import same_curve
from tiny import EXAMPLES, RECIPE

from lib.core.models import Model
from lib.train.finetune import fingerprint_of, load_base, train
from lib.train.packing import batch_of, loss_sum
from lib.train.recipe import Recipe
from lib.train.template import encode, load_tokenizer


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_loss_curve_is_the_same(tiny: Model, tmp_path: Path, method: str) -> None:
    recipe = replace(RECIPE, method=method, epochs=1, learning_rate=1e-3)
    plain = train(tiny, EXAMPLES, recipe, tmp_path / "plain")
    saving = train(tiny, EXAMPLES, replace(recipe, gradient_checkpointing=True), tmp_path / "saving")
    same_curve(plain.log, saving.log)


def test_less_is_kept_for_the_backward_pass(tiny: Model) -> None:
    tokenizer = load_tokenizer(tiny.path)
    rows, _ = encode(EXAMPLES[:4], tokenizer, 512)

    def kept(checkpointing: bool) -> int:
        model = load_base(tiny, "float32").train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        total = 0

        def note(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.nbytes
            return tensor

        loss_sum(model, batch_of(rows))  # its first batch is also checked for whether examples stay apart
        total = 0
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss_sum(model, batch_of(rows))
        return total

    assert kept(True) < 0.7 * kept(False)


def test_a_training_can_be_resumed_with_it(tiny: Model) -> None:
    """Its checkpoints are found by a hash that does not depend on it, nor on MICRO_BATCH."""
    hashes = {fingerprint_of(tiny, EXAMPLES, replace(RECIPE, gradient_checkpointing=on)) for on in (False, True)}
    assert len(hashes) == 1 and not Recipe().gradient_checkpointing

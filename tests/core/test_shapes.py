"""The arithmetic of shapes equals real models: their weights, the optimizer's means, adapters, and the cache."""

import json
import struct

import pytest

from lib.core import models
from lib.core.embedded import EMBEDDED
from lib.core.records import StudyError
from lib.core.shapes import BF16, FAMILIES, adafactor_bytes, published, shape_of

PAPER = ("starcoder2-3b", "starcoder2-15b", "Meta-Llama-3-8B", "CodeQwen1.5-7B", "deepseek-coder-33b-base")


def empty(config: dict):
    """A model of transformers with this configuration, without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


@pytest.mark.parametrize("name", published())
def test_a_published_shape_has_the_parameters_of_transformers_model(name):
    row = published()[name]
    assert shape_of(row["config"]).parameters == row["parameters"]
    assert sum(parameter.numel() for parameter in empty(row["config"]).parameters()) == row["parameters"]


def test_each_row_has_a_source_and_a_licence_and_the_papers_models_are_there():
    assert all(row["source"] and row["licence"] for row in published().values())
    assert {name.partition("/")[2] for name in published()} >= set(PAPER)
    assert published().keys() >= EMBEDDED.keys()
    assert {row["config"]["model_type"] for row in published().values()} == FAMILIES.keys()


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("tied", [None, True, False])
def test_what_a_configuration_leaves_out_is_transformers_default(kind, tied):
    config = {"model_type": kind, "num_hidden_layers": 3, "hidden_size": 96, "num_attention_heads": 6}
    config |= {"intermediate_size": 160, "vocab_size": 300, "max_position_embeddings": 512, "head_dim": 16}
    config |= {"num_key_value_heads": 2} | ({} if tied is None else {"tie_word_embeddings": tied})
    assert shape_of(config).parameters == sum(parameter.numel() for parameter in empty(config).parameters())


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_model_has_the_weights_of_its_row(name):
    """Where it has been fetched: the header of its safetensors lists every tensor."""
    if not models.is_cached(name):
        pytest.skip(f"{name} has not been fetched")
    folder = models.cache_folder() / "models" / name
    with (folder / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    ends = [tensor["data_offsets"][1] for key, tensor in header.items() if key != "__metadata__"]
    config = json.loads((folder / "config.json").read_text())
    assert max(ends) == BF16 * shape_of(config).parameters == BF16 * published()[name]["parameters"]


@pytest.mark.parametrize("name", ["tiny", pytest.param("qwen2.5-coder-0.5b-instruct", marks=pytest.mark.slow)])
def test_a_models_weights_optimizer_and_cache(name, tiny):
    """Of a real model, trained by a real step: bytes of weights, gradients, Adafactor's means and cached keys."""
    import torch
    from transformers import AutoModelForCausalLM

    from lib.train.trainer import Adafactor

    folder = tiny.path if name == "tiny" else models.resolve(name).path
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    weights = list(model.parameters())
    assert sum(weight.nbytes for weight in weights) == BF16 * shape.parameters
    assert max(weight.numel() for weight in weights) == shape.largest
    output = model(torch.arange(10)[None], labels=torch.arange(10)[None], use_cache=True)
    layers = output.past_key_values.layers
    assert sum(layer.keys.nbytes + layer.values.nbytes for layer in layers) == 10 * shape.cache_bytes()
    output.loss.backward()
    assert sum(weight.grad.nbytes for weight in weights) == BF16 * shape.parameters
    optimizer = Adafactor(weights, lr=1e-3, scale_parameter=False, relative_step=False)
    optimizer.step()
    means = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    kept = [mean for mean in means if mean.dim()]  # beside the sizes of weights, one number each
    assert sum(mean.nbytes for mean in kept) == adafactor_bytes(shape.tensors())


def test_the_tiny_models_adapters(tiny):
    import peft
    from transformers import AutoModelForCausalLM

    shape = shape_of(json.loads((tiny.path / "config.json").read_text()))
    settings = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny.path), settings)
    trained = sum(tensor.numbers for tensor in shape.adapters(4))
    assert trained == model.get_nb_trainable_parameters()[0]


def test_heads_that_are_too_few_are_kept_by_several_gpus():
    shape = shape_of(published()["bigcode/starcoder2-3b"]["config"])
    assert (shape.kv_heads, shape.heads, shape.head_size) == (2, 24, 128)
    assert shape.cache_bytes() == 2 * shape.cache_bytes(2) == 2 * shape.cache_bytes(8) == 30 * 2 * 2 * 128 * BF16


def test_an_unknown_kind_and_an_incomplete_configuration_are_said():
    with pytest.raises(StudyError, match="sizes of a mamba are not known; known are llama"):
        shape_of({"model_type": "mamba"})
    with pytest.raises(StudyError, match="has no hidden_size"):
        shape_of({"model_type": "llama", "num_attention_heads": 2, "num_hidden_layers": 1})

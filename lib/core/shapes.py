"""A model's shape, as its config.json gives it: how many weights it has, and what they and its cache take in memory.

The published shapes of the models that profiles name are in data/models.yaml, for machines without the hub.
"""

from dataclasses import dataclass
from functools import cache

import yaml

from lib.core.paths import ROOT
from lib.core.records import Record, StudyError

PUBLISHED = ROOT / "data" / "models.yaml"
BF16, FP32 = 2, 4  # bytes of a number


@dataclass(frozen=True)
class Family:
    """What a kind of model has in a layer beside the matrices of its attention.

    `mlp` is the number of matrices of the feed-forward part and `biased` names the parts with a bias (qkv, output,
    mlp). A layer has `norms` norms of the hidden size and `head_norms` of a head's, and a norm has `norm` vectors.
    `tied` is what holds where config.json does not say whether input and output share their embeddings.
    """

    mlp: int = 3
    biased: tuple[str, ...] = ()
    norms: int = 2
    norm: int = 1
    head_norms: int = 0
    tied: bool = False


# By config.json's model_type, after transformers' modeling_*.py and configuration_*.py.
FAMILIES = {
    "llama": Family(),
    "qwen2": Family(biased=("qkv",)),
    "starcoder2": Family(mlp=2, biased=("qkv", "output", "mlp"), norm=2, tied=True),
    "gemma3_text": Family(norms=4, head_norms=2, tied=True),
}


@dataclass(frozen=True)
class Tensor:
    """`count` matrices of `rows` x `columns` numbers, or vectors of `rows` where `columns` is 0.

    `linear` marks the matrices that get an adapter (peft's "all-linear": all but embeddings).
    """

    count: int
    rows: int
    columns: int = 0
    linear: bool = False

    @property
    def numbers(self) -> int:
        """How many numbers all of them have."""
        return self.count * self.rows * max(self.columns, 1)


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder-only transformer; `window` is the most tokens that its positions allow."""

    kind: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    window: int
    tied: bool

    def layer(self) -> list[Tensor]:
        """Return the tensors of one layer."""
        family, hidden, inner = FAMILIES[self.kind], self.hidden, self.intermediate
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        biases = {
            "qkv": [Tensor(1, queries), Tensor(2, keys)],
            "output": [Tensor(1, hidden)],
            "mlp": [Tensor(family.mlp - 1, inner), Tensor(1, hidden)],
        }
        return [
            Tensor(1, queries, hidden, linear=True),
            Tensor(2, keys, hidden, linear=True),
            Tensor(1, hidden, queries, linear=True),
            Tensor(family.mlp - 1, inner, hidden, linear=True),
            Tensor(1, hidden, inner, linear=True),
            *(tensor for part in family.biased for tensor in biases[part]),
            Tensor(family.norms * family.norm, hidden),
            Tensor(family.head_norms, self.head_size),
        ]

    def tensors(self) -> list[Tensor]:
        """Return all tensors of the model."""
        layers = [Tensor(self.layers * one.count, one.rows, one.columns, one.linear) for one in self.layer()]
        embeddings = Tensor(1 if self.tied else 2, self.vocabulary, self.hidden)
        return [embeddings, *layers, Tensor(FAMILIES[self.kind].norm, self.hidden)]

    @property
    def parameters(self) -> int:
        """How many numbers the model has; shared embeddings count once."""
        return sum(tensor.numbers for tensor in self.tensors())

    @property
    def largest(self) -> int:
        """How many numbers its largest tensor has."""
        return max(tensor.numbers // tensor.count for tensor in self.tensors() if tensor.count)

    def adapters(self, rank: int) -> list[Tensor]:
        """Return the tensors of LoRA's adapters: two thin matrices beside every linear one."""
        linear = [one for one in self.tensors() if one.linear]
        return [Tensor(one.count, rank, one.columns) for one in linear] + [
            Tensor(one.count, one.rows, rank) for one in linear
        ]

    def cache_bytes(self, parts: int = 1) -> int:
        """Return the bytes that keys and values of one token take on each of `parts` GPUs, in bfloat16.

        Heads are divided over the GPUs; one that there are too few of is kept by several.
        """
        return 2 * self.layers * max(1, self.kv_heads // parts) * self.head_size * BF16


def adafactor_bytes(tensors: list[Tensor]) -> int:
    """Return the bytes of Adafactor's means: a number per row and per column of a matrix, one per number of a vector.

    They are float32 (transformers.optimization.Adafactor without momentum, as the recipe has it).
    """
    return FP32 * sum(one.count * (one.rows + one.columns) for one in tensors)


def shape_of(config: Record) -> Shape:
    """Return the shape that a config.json describes; StudyError for a kind of model that is not in FAMILIES."""
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise StudyError(f"the sizes of a {kind} are not known; known are {', '.join(FAMILIES)} (lib/core/shapes.py)")
    try:
        heads = config["num_attention_heads"]
        return Shape(
            kind=kind,
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_size=config.get("head_dim") or config["hidden_size"] // heads,
            intermediate=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            window=config["max_position_embeddings"],
            tied=config.get("tie_word_embeddings", FAMILIES[kind].tied),
        )
    except KeyError as error:
        raise StudyError(f"its config.json has no {error.args[0]}; get the file of its publisher") from None


@cache
def published() -> dict[str, Record]:
    """Return what is published of each model of data/models.yaml, by its name without a revision."""
    return yaml.safe_load(PUBLISHED.read_text())

"""What weights, gradients, optimizer and caches take of each GPU's memory, and of the machine's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from lib.core.shapes import BF16, FAMILIES, FP32, Shape, adafactor_bytes
from lib.generate.vllm_engine import CONTEXT_TOKENS, SETTINGS
from lib.runner.plan.hardware import GIB, Hardware
from lib.train import launch

UTILIZATION = 0.92  # of a GPU's memory that vLLM takes (its gpu_memory_utilization by default)
ENGINE_SPARE = 2 * GIB  # activations of a batch of CONTEXT_TOKENS tokens and recorded graphs, estimated
QLORA_BYTES = 0.55  # of a weight in 4 bits, its scales included, estimated


@dataclass(frozen=True)
class Engines:
    """How a stage generates: `count` engines of `parts` GPUs each (tensor parallelism), their window and batch."""

    count: int
    parts: int
    window: int
    utilization: float
    batch: int

    @property
    def gpus(self) -> int:
        """How many GPUs all engines take."""
        return self.count * self.parts


def engines(values: Mapping[str, Any]) -> Engines:
    """Return the engines of a notebook's parameters; for a server or a replay, which run elsewhere, none."""
    options = values["ENGINE_OPTIONS"]
    count = {"ray": options.get("workers", 1), "server": 0, "replay": 0}.get(values["ENGINE"], 1)
    window, share = options.get("max_model_len", CONTEXT_TOKENS), options.get("gpu_memory_utilization", UTILIZATION)
    return Engines(count, options.get("tensor_parallel_size", 1), window, share, values["MAX_SEQS"])


def engine_weights(shape: Shape, plan: Engines) -> float:
    """Return the bytes of an engine's weights on each of its GPUs, in bfloat16."""
    return shape.parameters * BF16 / plan.parts


def cache_tokens(shape: Shape, plan: Engines, where: Hardware) -> int:
    """Return how many tokens' keys and values an engine has room for; beside its weights on a GPU, 0 for none."""
    room = plan.utilization * where.gpu.memory * GIB - engine_weights(shape, plan) - ENGINE_SPARE
    if where.source == "CPU":
        room = int(SETTINGS["VLLM_CPU_KVCACHE_SPACE"]) * GIB
    return max(0, int(room / shape.cache_bytes(plan.parts)))


@dataclass(frozen=True)
class Processes:
    """How many processes train, and what accelerate's configuration calls their kind ("NO" for one process)."""

    count: int = 1
    kind: str = "NO"

    @property
    def sharded(self) -> bool:
        """Whether each has a part of the model only."""
        return self.kind in ("FSDP", "DEEPSPEED")


def processes(name: str) -> Processes:
    """Return the processes of LAUNCH; StudyError when there is no such configuration."""
    if not name:
        return Processes()
    settings = yaml.safe_load(launch.configuration(name).read_text())
    return Processes(settings.get("num_processes", 1), settings.get("distributed_type", "NO"))


def training_state(shape: Shape, values: Mapping[str, Any], plan: Processes) -> dict[str, float]:
    """Return the bytes of weights, gradients and optimizer on each GPU, of a stage 04 with these parameters.

    One process, every weight: bfloat16 weights and gradients, Adafactor's means. DDP also copies the gradients into its
    buckets. FSDP2 shards all, and accelerate keeps what is trained in float32. ZeRO-3 shards all, keeps float32 copies,
    and its flat pieces get a mean for every number. LoRA and QLoRA train float32 adapters beside frozen weights.
    """
    trained, share = shape.tensors(), plan.count if plan.sharded else 1
    if values["METHOD"] != "full":
        trained = shape.adapters(values["LORA_RANK"])
    count, frozen = sum(tensor.numbers for tensor in trained), 0.0
    if values["METHOD"] != "full":
        frozen = shape.parameters * (QLORA_BYTES if values["METHOD"] == "qlora" else BF16)
    single = FP32 if values["METHOD"] != "full" or plan.kind == "FSDP" else BF16
    state = {"weights": frozen + single * count, "gradients": single * count, "optimizer": adafactor_bytes(trained)}
    if plan.kind == "MULTI_GPU":
        state["gradients"] += single * count
    if plan.kind == "DEEPSPEED":
        state |= {"weights": frozen + (BF16 + FP32) * count, "gradients": BF16 * count, "optimizer": FP32 * count}
    return {name: size / share for name, size in state.items()}


def activations(shape: Shape, values: Mapping[str, Any], plan: Processes, example: float) -> float:
    """Return an estimate of what else a training has in a GPU's memory at its peak; `example` is its mean length.

    It is what each layer keeps of a micro-batch for the backward pass, or with gradient checkpointing its input alone;
    the logits in bfloat16 and float32 and their gradient; the optimizer's float32 copies of the largest tensor; and
    what sharding puts together: two layers, the embeddings and a layer's gradients. Micro-batches are balanced, so the
    largest has the longest example or MICRO_BATCH ordinary ones.
    """
    tokens = max(values["MAX_LENGTH"], values["MICRO_BATCH"] * example)
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    inner = (4 if FAMILIES[shape.kind].mlp == 3 else 2) * shape.intermediate  # with a gate, two halves and a product
    layer = BF16 * tokens * (8 * shape.hidden + 3 * (queries + keys) + inner)
    kept = shape.layers * layer
    if values["GRADIENT_CHECKPOINTING"]:
        kept = layer + shape.layers * BF16 * tokens * shape.hidden
    logits = tokens * shape.vocabulary * (BF16 + 2 * FP32)
    if values["METHOD"] != "full":
        return kept + logits
    if not plan.sharded:
        return kept + logits + 3 * FP32 * shape.largest
    block, embeddings = sum(one.numbers for one in shape.layer()), shape.tensors()[0].numbers
    together = BF16 * (3 * block + embeddings) + 3 * FP32 * shape.largest / plan.count
    return kept + logits + together


def host(shape: Shape, values: Mapping[str, Any], plan: Processes) -> float:
    """Return an estimate of the machine's memory that training takes at most.

    Either every process loads the weights, or at the end the base model in float32 stands beside the trained weights.
    """
    loading = plan.count * BF16 if not plan.sharded else BF16
    trained = FP32 if plan.kind == "FSDP" and values["METHOD"] == "full" else BF16
    return shape.parameters * max(loading, FP32 + trained)


def disk(shape: Shape, values: Mapping[str, Any], plan: Processes) -> float:
    """Return the bytes that training writes at most: the merged model and, of every weight or of adapters, checkpoints.

    `lib.train.finetune` asks for as much: three checkpoints, because the next is written before the first is removed.
    """
    stored = FP32 if plan.kind == "FSDP" else BF16
    return shape.parameters * (BF16 + 3 * stored if values["METHOD"] == "full" else 1.15 * BF16)

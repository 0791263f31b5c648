"""The hyper-parameters of a training, and what a finished training left."""

from dataclasses import dataclass
from pathlib import Path

from lib.core.records import Record


@dataclass(frozen=True)
class Recipe:
    """All hyper-parameters of a training run. What is the paper's (section C.3) says so; the rest is the study's.

    The paper trains every parameter (`method` "full") with learning_rate 1e-5 and batch 64. The defaults here are a
    laptop's: low-rank adapters, which take a larger learning rate, and a small batch, because a few
    dozen examples in batches of 64 would give only a handful of updates.
    """

    epochs: int = 2  # the paper gives none; its repository trains StarCoder2-15B for 4
    learning_rate: float = 5e-5  # peak; the paper: 1e-5 on own data, 2e-5 on another model's
    batch: int = 8  # examples an update; the paper: 64
    micro_batch: int = 4  # of them in a process's memory at once, in the mean: packs are balanced by length
    max_length: int = (
        1280  # tokens, the paper's; longer examples are dropped (the official code cuts them, and their EOS with them)
    )
    method: str = "lora"  # lora, qlora or full
    lora_rank: int = 16  # not the paper's; alpha is twice the rank
    held_out: float = 0.05  # share of the examples that is never trained on
    seed: int = 42
    checkpoint_steps: int = 10  # updates between two checkpoints, each with a held-out loss
    loss_on: str = "response"  # or "everything": the prompt, too, for comparison only
    warmup: float = 0.05  # share of the updates; the paper's
    weight_decay: float = 0.0  # the paper's
    dtype: str = "bfloat16"  # of the base weights; adapters are kept in float32


@dataclass(frozen=True)
class Training:
    """What a finished training left: its log (a row an update or held-out measurement) and facts from live objects."""

    folder: Path
    log: list[Record]
    facts: Record
    reused: bool

    @property
    def model(self) -> Path:
        """The merged model, in Hugging Face format."""
        return self.folder / "model"

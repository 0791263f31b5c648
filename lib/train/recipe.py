"""The hyper-parameters of a training, and what a finished training left."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.core.records import Record, StudyError, read_records


@dataclass(frozen=True)
class Recipe:
    """All hyper-parameters of a training run.

    Comments say what SelfCodeAlign does: "paper" is its section C.3, "README" that of its official repository. It
    trains every parameter (`method` "full"); the defaults here suit a laptop: low-rank adapters, which take a larger
    learning rate, and small batches, because batches of 64 would turn a few dozen examples into a handful of updates.
    """

    epochs: int = 2  # README: 4 for StarCoder2-15B; the paper does not say
    learning_rate: float = 5e-5  # peak; paper: 1e-5 on the model's own data, 2e-5 on another model's
    batch: int = 8  # examples per update; README: 64
    micro_batch: int = 4  # examples in a process's memory at once, on average: packs are balanced by length
    max_length: int = 1280  # tokens, as in the paper; longer examples are dropped (train.py truncates them)
    method: str = "lora"  # lora, qlora or full
    lora_rank: int = 16  # alpha is twice the rank
    held_out: float = 0.05  # share of the examples that is never trained on
    seed: int = 42  # train.py: the same
    checkpoint_steps: int = 10  # updates between two checkpoints, each with a held-out loss
    gradient_checkpointing: bool = False  # as the README: recomputes activations, which saves memory and takes time
    loss_on: str = "response"  # as train.py; "everything" adds the prompt, for comparison only
    warmup: float = 0.05  # share of the updates, as in the README
    weight_decay: float = 0.0  # as in train.py
    dtype: str = "bfloat16"  # of the base weights; adapters are kept in float32


@dataclass(frozen=True)
class Training:
    """What a finished training left: its log (a row per update or held-out measurement) and facts from live objects."""

    folder: Path
    log: list[Record]
    facts: Record
    reused: bool

    @property
    def model(self) -> Path:
        """The merged model, in Hugging Face format."""
        return self.folder / "model"

    def held_out_losses(self) -> dict[str, float]:
        """Return the held-out loss (nats per trained token) before and after; "as saved" is the merged model's.

        "as saved" is missing where the facts do not have it (`recorded`).
        """
        losses = [row["held_out_loss"] for row in self.log if "held_out_loss" in row]
        saved = self.facts.get("held-out loss as saved")
        return {"before": losses[0], "after": losses[-1]} | ({} if saved is None else {"as saved": saved})


def totals(log: Sequence[Record]) -> Record:
    """Return the seconds spent in updates and the joules used (None: not measured) that a training's log ends with."""
    seconds, joules = (max((row.get(name) or 0.0 for row in log), default=0.0) for name in ("seconds", "joules"))
    return {"seconds": seconds, "joules": joules or None}


def read_facts(folder: Path) -> Record | None:
    """Return the facts that a finished training left in `folder`, its log among them; None when there are none."""
    try:
        return json.loads((folder / "model" / "training.json").read_text())
    except (OSError, ValueError):
        return None


def recorded(folder: Path) -> Training:
    """Return the training recorded in the folder of a stage 04, without its model: neither torch nor weights needed.

    Reads log.jsonl or log.jsonl.gz, and the facts in model/training.json. Without that file `facts` has only the
    `totals` of the log and lacks: fingerprint, method, recipe, settings, examples, held-out ids, held-out loss as
    saved, trained tokens, hardware, energy counters, eos.
    Raises StudyError when there is no log.
    """
    logs = [path for name in ("log.jsonl", "log.jsonl.gz") if (path := folder / name).is_file()]
    if not logs:
        raise StudyError(f"{folder} has no log.jsonl or log.jsonl.gz: choose a run that has finished notebook 04")
    log = read_records(logs[0])
    facts = read_facts(folder) or totals(log)
    return Training(folder, log, {name: value for name, value in facts.items() if name != "log"}, reused=True)

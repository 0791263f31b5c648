"""The model card, and the facts in it that are read from live objects: settings, dropout, hardware."""

import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lib.models import Model
from lib.records import Record, write_text
from lib.sft import Training
from lib.study import clock

USE = """Made to study self-alignment: a model trained only on its own answers that passed its own tests. It writes
short Python functions from an instruction in the study's template. It is not a product."""
LIMITS = """- The data are a model's own words. Passing its own tests does not make an answer right: the tests can be as
  wrong as the code.
- Python and English only; one instruction, one answer; no safety training was done and none is claimed.
- Run what it writes in a sandbox.
- The model and the data are small: compare its scores with its base model's only, and with their intervals."""


def dropout(model: torch.nn.Module) -> float:
    """Return the largest dropout probability among a model's live modules and their attention layers."""
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    rates += [getattr(module, "attention_dropout", 0.0) or 0.0 for module in model.modules()]
    return max(rates, default=0.0)


def hardware() -> str:
    """Return the processor or GPU that trains, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def settings(trainer: Any) -> Record:
    """Return the effective hyper-parameters of a trainer that has run, each read from the live object that uses it."""
    args, model, optimizer = trainer.args, trainer.model, trainer.optimizer
    group = optimizer.param_groups[0]
    lora = model.peft_config["default"] if hasattr(model, "peft_config") else None
    trained = [p for p in model.parameters() if p.requires_grad]
    return {
        "optimizer": type(getattr(optimizer, "optimizer", optimizer)).__name__,
        "peak learning rate": group["initial_lr"],
        "schedule": f"{args.lr_scheduler_type.value}, {args.get_warmup_steps(trainer.state.max_steps)} warm-up updates",
        "updates": trainer.state.max_steps,
        "epochs": args.num_train_epochs,
        "processes": args.world_size,
        "examples an update": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
        "examples in memory at once": args.train_batch_size,
        "weight decay": group["weight_decay"],
        "gradient clipping": args.max_grad_norm if args.max_grad_norm > 0 else "none",
        "largest dropout": dropout(model),
        "LoRA rank, alpha": f"{lora.r}, {lora.lora_alpha}" if lora else "none: every parameter is trained",
        "LoRA modules": ", ".join(sorted(lora.target_modules)) if lora else "",
        "trained parameters": sum(p.numel() for p in trained),
        "all parameters": sum(p.numel() for p in model.parameters()),
        "types (trained, all)": f"{trained[0].dtype}, {model.dtype}".replace("torch.", ""),
        "seed": args.seed,
    }


def table(facts: Record) -> str:
    """Return a two-column Markdown table."""
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in facts.items()}
    rows = [f"| {name} | {value} |" for name, value in shown.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def provenance(examples: Sequence[Record]) -> str:
    """Return a Markdown table of the packages whose functions inspired the examples, with licence and count."""
    sources = Counter((e["source"]["package"], e["source"]["version"], e["source"]["licence"]) for e in examples)
    rows = [f"| {' | '.join(source)} | {n} |" for source, n in sorted(sources.items())]
    return "\n".join(["| package | version | licence | examples |", "| --- | --- | --- | --- |", *rows])


def held_out_losses(training: Training) -> dict[str, float]:
    """Return the held-out loss (nats a trained token): before, after, and of the merged model as it was saved."""
    losses = [row["held_out_loss"] for row in training.log if "held_out_loss" in row]
    return {"before": losses[0], "after": losses[-1], "as saved": training.facts["held-out loss as saved"]}


def write_card(model: Model, training: Training, examples: Sequence[Record], data_sha256: str) -> str:
    """Write README.md beside the model and inside its folder; return its text.

    `examples` are the dataset records of stage 03 and `data_sha256` is their file's hash.
    """
    facts: dict[str, Any] = training.facts
    losses = ", ".join(f"{value:.3f} {when}" for when, value in held_out_losses(training).items())
    base = {name: getattr(model, name) for name in ("name", "revision", "licence", "sha256", "note")}
    data = facts["examples"] | {
        "trained tokens (an epoch)": facts["trained tokens"],
        "sha256 of dataset.jsonl": data_sha256,
    }
    text = f"""---
license: {model.licence.lower() if model.licence == "Apache-2.0" else "other"}
library_name: transformers
pipeline_tag: text-generation
tags: [code, self-alignment, sft]
---
# {model.name}, self-aligned

{USE}

## Base model
{table(base)}

## Data
Instructions and answers written by a model from functions of permissively licensed packages; each answer passed its own
tests in a sandbox.

{table(data)}

{provenance(examples)}

## Training
Loss on the response and its `{facts["eos"]}` only. Values read from the live trainer:

{table(facts["settings"])}

Hardware: {facts["hardware"]}. Time in updates: {clock(facts["seconds"])}.
Held-out loss, in nats a trained token (n = {facts["examples"]["held out"]}): {losses}.

## Use
The tokenizer's chat template renders the prompt it was trained on; decode greedily and stop at `{facts["eos"]}`.

## Limits
{LIMITS}
"""
    write_text(training.folder / "README.md", text)
    write_text(training.model / "README.md", text)
    return text

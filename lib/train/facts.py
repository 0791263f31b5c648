"""What a training was, read from the live objects that did it: log, settings, dropout, hardware."""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lib.core.records import Record
from lib.train.recipe import totals


def dropout(model: torch.nn.Module) -> float:
    """Return the largest dropout probability in a model, of torch's layers and of modules that keep plain numbers."""
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    own = (item for module in model.modules() for item in vars(module).items())
    rates += [value for name, value in own if "drop" in name and isinstance(value, float)]
    return max(rates, default=0.0)


def hardware() -> str:
    """Return the name of the processor or GPU that trains."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def size(parameter: Any) -> int:
    """Return how many numbers a parameter has, counting all shards of ZeRO-3."""
    return getattr(parameter, "ds_numel", parameter.numel())


def settings(trainer: Any) -> Record:
    """Return the hyper-parameters of a trainer that has run, each read from the live object that uses it."""
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
        "trained parameters": sum(map(size, trained)),
        "all parameters": model.get_nb_trainable_parameters()[1] if lora else sum(map(size, model.parameters())),
        "largest example": f"{max(trainer.lengths):,} tokens",
        "loss on": trainer.recipe.loss_on,
        "attention": model.config._attn_implementation,
        "mixed precision": trainer.accelerator.mixed_precision,
        "learning rate scaled by weights, relative to steps": f"{group['scale_parameter']}, {group['relative_step']}",
        "update clipping (Adafactor's own)": group["clip_threshold"],
        "types (trained, all)": f"{trained[0].dtype}, {model.dtype}".replace("torch.", ""),
        "seed": args.seed,
    }


def log_rows(history: Sequence[Record]) -> list[Record]:
    """Return a trainer's history as rows: one per update (loss, ...), one per measurement (held_out_loss)."""
    rows = []
    for entry in history:
        step = entry["step"]
        if "eval_loss" in entry:
            rows.append({"id": f"{step:07d}-held-out", "step": step, "held_out_loss": entry["eval_loss"]})
        elif "loss" in entry:
            kept = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "seconds")
            rows.append({"id": f"{step:07d}-update"} | {name: entry.get(name) for name in (*kept, "joules")})
    return sorted(rows, key=lambda row: row["id"])


def facts_of(trainer: Any) -> Record:
    """Return all that a PackedTrainer that has run records about its training, its log included."""
    log = log_rows(trainer.state.log_history)
    return {
        "method": trainer.recipe.method,
        "recipe": asdict(trainer.recipe),
        "settings": settings(trainer),
        "hardware": hardware(),
        **totals(log),
        "energy counters": trainer.watch.meter.counters,
        "eos": trainer.processing_class.eos_token,
        "log": log,
    }

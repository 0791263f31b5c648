"""What a training was, read from the live objects that did it: settings, dropout, hardware, losses."""

import platform
from pathlib import Path
from typing import Any

import torch

from lib.core.records import Record


def dropout(model: torch.nn.Module) -> float:
    """Return the largest dropout probability among a model's live modules, as torch's layers or plain numbers."""
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    own = (item for module in model.modules() for item in vars(module).items())
    rates += [value for name, value in own if "drop" in name and isinstance(value, float)]
    return max(rates, default=0.0)


def hardware() -> str:
    """Return the processor or GPU that trains, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def size(parameter: Any) -> int:
    """Return how many numbers a parameter has, all of them where ZeRO-3 shards it."""
    return getattr(parameter, "ds_numel", parameter.numel())


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

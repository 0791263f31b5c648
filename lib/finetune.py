"""Supervised fine-tuning's training run: TRL's trainer on the study's own mask; it can be killed and resumed."""

import json
import math
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from lib.models import Model
from lib.records import Record, StudyError, content_id, read_records, write_records, write_text
from lib.sft import IGNORED, bos_ids, encode, load_tokenizer, render_prompt, split
from lib.study import Progress


@dataclass(frozen=True)
class Recipe:
    """All hyper-parameters of a training run; values not marked otherwise are the paper's (section C.3).

    `lora_rank` 0 trains every parameter, as the paper did with learning_rate 1e-5 and batch 64. The defaults here are
    a laptop's: low-rank adapters, which need about ten times the learning rate, and a small batch, because a few
    dozen examples in batches of 64 would give only a handful of updates.
    """

    epochs: int = 2
    learning_rate: float = 2e-4  # peak; the paper: 1e-5 on own data, 2e-5 on another model's
    batch: int = 8  # examples an update; the paper: 64
    micro_batch: int = 4  # examples in memory at once; must divide batch
    max_length: int = 1280  # tokens; longer examples are dropped (the official code cuts them, and their EOS with them)
    lora_rank: int = 16  # not the paper's; alpha is twice the rank
    held_out: float = 0.05  # share of the examples that is never trained on
    seed: int = 42
    checkpoint_steps: int = 10  # updates between two checkpoints, each with a held-out loss
    warmup: float = 0.05  # share of the updates
    weight_decay: float = 0.0
    dtype: str = "bfloat16"  # of the base weights; adapters are kept in float32


@dataclass(frozen=True)
class Training:
    """What a finished training left: its log (one row an update or held-out measurement) and facts from live objects."""

    folder: Path
    log: list[Record]
    facts: Record
    reused: bool

    @property
    def model(self) -> Path:
        """The merged model, in Hugging Face format."""
        return self.folder / "model"


def load_base(model: Model, dtype: str) -> Any:
    """Return the base model with every dropout of its configuration forced to zero, as the paper's recipe asks."""
    config = AutoConfig.from_pretrained(model.path)
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    return AutoModelForCausalLM.from_pretrained(model.path, config=config, dtype=getattr(torch, dtype))


def dropout(model: torch.nn.Module) -> float:
    """Return the largest dropout probability among a model's live modules and their attention layers."""
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    rates += [getattr(module, "attention_dropout", 0.0) or 0.0 for module in model.modules()]
    return max(rates, default=0.0)


class Watch(TrainerCallback):
    """Completes every row of the trainer's log with tokens and seconds, stores the log, and prints how far it is."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the counts of a resumed run."""
        self.progress = Progress("fine-tuning", state.max_steps, "updates", done=state.global_step)
        self.seconds = max((row.get("seconds", 0.0) for row in state.log_history), default=0.0)
        self.before = (self.seconds, state.num_input_tokens_seen)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of one update; held-out measurements and checkpoints are not timed."""
        self.started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock."""
        self.seconds += time.monotonic() - self.started

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Complete the newest row; StudyError when the loss is no longer a number."""
        row = state.log_history[-1]
        loss = row.get("loss", row.get("eval_loss"))
        if loss is None:
            return
        if not math.isfinite(loss):
            raise StudyError(f"the loss is {loss} at update {state.global_step}: lower LEARNING_RATE")
        row["seconds"] = self.seconds
        if "loss" in row:
            tokens = state.num_input_tokens_seen
            rate = (tokens - self.before[1]) / max(self.seconds - self.before[0], 1e-6)
            row |= {"tokens": tokens, "tokens_per_second": rate}
            self.before = (self.seconds, tokens)
            self.progress.update(state.global_step, f"loss {loss:.3f} · {rate:,.0f} tokens/s")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Store the log with every checkpoint."""
        write_records(self.log, log_rows(state.log_history))


def log_rows(history: list[Record]) -> list[Record]:
    """Return the trainer's history as rows: update (loss, learning_rate, grad_norm, ...) or held-out (held_out_loss)."""
    rows = []
    for entry in history:
        step = entry["step"]
        if "eval_loss" in entry:
            rows.append({"id": f"{step:07d}-held-out", "step": step, "held_out_loss": entry["eval_loss"]})
        elif "loss" in entry:
            kept = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "seconds")
            rows.append({"id": f"{step:07d}-update"} | {name: entry[name] for name in kept})
    return sorted(rows, key=lambda row: row["id"])


def build_trainer(
    model: Model, tokenizer: Any, rows: list[Record], held_out: list[Record], recipe: Recipe, folder: Path, fresh: bool
) -> SFTTrainer:
    """Return a TRL trainer over encoded rows; checkpoints go to `folder`. `fresh` measures the held-out loss first."""
    if recipe.batch % recipe.micro_batch:
        raise StudyError(f"BATCH={recipe.batch} is not a multiple of the micro-batch {recipe.micro_batch}: change BATCH")
    lora = LoraConfig(
        r=recipe.lora_rank, lora_alpha=2 * recipe.lora_rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    args = SFTConfig(
        output_dir=str(folder), seed=recipe.seed, use_cpu=not torch.cuda.is_available(), bf16=False,
        num_train_epochs=recipe.epochs, learning_rate=recipe.learning_rate, lr_scheduler_type="linear",
        warmup_steps=recipe.warmup, weight_decay=recipe.weight_decay, optim="adafactor",
        max_grad_norm=-1.0,  # no clipping; the norm is logged all the same
        per_device_train_batch_size=recipe.micro_batch, per_device_eval_batch_size=recipe.micro_batch,
        gradient_accumulation_steps=recipe.batch // recipe.micro_batch, gradient_checkpointing=False,
        train_sampling_strategy="group_by_length",  # neighbours in a batch are about as long: less padding
        max_length=None, dataset_kwargs={"skip_prepare_dataset": True},  # the rows come with ids and labels
        eval_strategy="steps", eval_steps=recipe.checkpoint_steps, eval_on_start=fresh,
        save_strategy="steps", save_steps=recipe.checkpoint_steps, save_total_limit=2,
        logging_steps=1, logging_nan_inf_filter=False, include_num_input_tokens_seen="non_padding",
        disable_tqdm=True, report_to="none", dataloader_pin_memory=False,
    )  # fmt: skip
    columns = ("input_ids", "labels")
    trainer = SFTTrainer(
        model=load_base(model, recipe.dtype), args=args, processing_class=tokenizer,
        train_dataset=Dataset.from_list([{name: row[name] for name in columns} for row in rows]),
        eval_dataset=Dataset.from_list([{name: row[name] for name in columns} for row in held_out]),
        peft_config=lora if recipe.lora_rank else None,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    if rate := dropout(trainer.model):
        raise StudyError(f"{model.name} keeps a dropout of {rate} that its configuration does not show: choose another MODEL")
    return trainer


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written whole (its trainer_state.json comes last), or None."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text())
        except (OSError, ValueError):
            continue
        return path
    return None


def hardware() -> str:
    """Return the processor or GPU that trains, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def settings(trainer: SFTTrainer) -> Record:
    """Return the effective hyper-parameters of a trainer that has run, each read from the live object that uses it."""
    args, model = trainer.args, trainer.model
    optimizer: Any = trainer.optimizer
    group = optimizer.param_groups[0]
    lora = model.peft_config["default"] if isinstance(model, PeftModel) else None
    trained = [p for p in model.parameters() if p.requires_grad]
    return {
        "optimizer": type(getattr(optimizer, "optimizer", optimizer)).__name__,
        "peak learning rate": group["initial_lr"],
        "schedule": f"{args.lr_scheduler_type.value}, {args.get_warmup_steps(trainer.state.max_steps)} warm-up updates",
        "updates": trainer.state.max_steps,
        "epochs": args.num_train_epochs,
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


def train(model: Model, examples: Sequence[Record], recipe: Recipe, folder: Path) -> Training:
    """Fine-tune `model` on examples {id, instruction, response} and return what it left in `folder`.

    Writes model/ (merged, bfloat16), adapter/ (LoRA only) and log.jsonl. A training that was killed goes on from its last
    checkpoint; one that is finished, for the same model, examples and recipe, is returned as it is.
    Raises StudyError when there is too little to train on or the loss stops being a number.
    """
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    texts = sorted((example["id"], example["instruction"], example["response"]) for example in examples)
    fingerprint = content_id(model.sha256, asdict(recipe), render_prompt(""), texts)
    if facts := finished(folder, fingerprint):
        return Training(folder, read_records(folder / "log.jsonl"), facts, reused=True)
    tokenizer = load_tokenizer(model.path)
    rows, too_long = encode(examples, tokenizer, recipe.max_length)
    training, held_out = split(rows, recipe.held_out, recipe.seed)
    checkpoints = folder / "checkpoints" / fingerprint
    last = last_checkpoint(checkpoints)
    trainer = build_trainer(model, tokenizer, training, held_out, recipe, checkpoints, fresh=last is None)
    trainer.add_callback(Watch(folder / "log.jsonl"))
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    log = log_rows(trainer.state.log_history)
    write_records(folder / "log.jsonl", log)
    facts = {
        "fingerprint": fingerprint,
        "recipe": asdict(recipe),
        "settings": settings(trainer),
        "examples": {"given": len(examples), "too long": too_long, "trained": len(training), "held out": len(held_out)},
        "held-out ids": sorted(row["id"] for row in held_out),
        "trained tokens": sum(label != IGNORED for row in training for label in row["labels"]),
        "hardware": hardware(),
        "seconds": max(row.get("seconds", 0.0) for row in log),
        "eos": tokenizer.eos_token,
    }
    export(trainer, tokenizer, model, folder, facts)
    return Training(folder, log, facts, reused=False)


def finished(folder: Path, fingerprint: str) -> Record | None:
    """Return the facts of the finished training in `folder` when they are of this fingerprint, else None."""
    try:
        facts = json.loads((folder / "model" / "training.json").read_text())
    except (OSError, ValueError):
        return None
    return facts if facts["fingerprint"] == fingerprint and (folder / "log.jsonl").exists() else None


def export(trainer: SFTTrainer, tokenizer: Any, base: Model, folder: Path, facts: Record) -> None:
    """Write adapter/ and the merged model/; model/ appears whole, by a rename, and only then the checkpoints go."""
    model: Any = trainer.model
    if isinstance(model, PeftModel):
        model.peft_config["default"].base_model_name_or_path = base.name  # a name, not this machine's path
        model.save_pretrained(folder / "adapter", save_embedding_layers=False)
        (folder / "adapter" / "README.md").unlink(missing_ok=True)  # PEFT's empty form; the study writes its own card
        model = model.merge_and_unload()
    ends = model.generation_config.eos_token_id or []
    ends = [tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])]
    # Nothing but where to stop: sampling settings or a repetition penalty of the base would change greedy answers.
    model.generation_config = GenerationConfig(eos_token_id=list(dict.fromkeys(ends)), pad_token_id=tokenizer.pad_token_id)
    partial = folder / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    write_text(partial / "training.json", json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(folder / "model", ignore_errors=True)
    partial.rename(folder / "model")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def answer(path: Path, instruction: str, max_tokens: int) -> str:
    """Return the greedy response of the model in `path`, of at most `max_tokens` tokens, with its special tokens shown."""
    tokenizer = load_tokenizer(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
    prompt = bos_ids(tokenizer) + tokenizer(render_prompt(instruction), add_special_tokens=False).input_ids
    ends = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    output = model.generate(torch.tensor([prompt]), generation_config=ends, max_new_tokens=max_tokens, do_sample=False)
    return tokenizer.decode(output[0, len(prompt) :])

"""Supervised fine-tuning's training run: TRL's trainer on the study's own mask; it can be killed and resumed."""

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from lib.card import dropout, hardware, settings
from lib.models import Model
from lib.records import Record, StudyError, content_id, read_records, write_records, write_text
from lib.sft import IGNORED, Recipe, Training, encode, load_tokenizer, render_prompt, split
from lib.study import Progress


def load_base(model: Model, dtype: str) -> Any:
    """Return the base model with every dropout of its configuration forced to zero, as the paper's recipe asks."""
    config = AutoConfig.from_pretrained(model.path)
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    return AutoModelForCausalLM.from_pretrained(model.path, config=config, dtype=getattr(torch, dtype))


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
    """Return the trainer's history as rows, one an update (loss, learning_rate, ...) or measurement (held_out_loss)."""
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
    micro = min(recipe.micro_batch, recipe.batch)
    if recipe.batch % micro:
        raise StudyError(
            f"BATCH={recipe.batch} must be below {micro} or a multiple of it: so many are in memory at once"
        )
    rank = recipe.lora_rank
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    args = SFTConfig(
        output_dir=str(folder), seed=recipe.seed, use_cpu=not torch.cuda.is_available(), bf16=False,
        num_train_epochs=recipe.epochs, learning_rate=recipe.learning_rate, lr_scheduler_type="linear",
        warmup_steps=recipe.warmup, weight_decay=recipe.weight_decay, optim="adafactor",
        max_grad_norm=-1.0,  # no clipping; the norm is logged all the same
        per_device_train_batch_size=micro, per_device_eval_batch_size=micro,
        gradient_accumulation_steps=recipe.batch // micro, gradient_checkpointing=False,
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
        peft_config=lora if rank else None,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    if rate := dropout(cast(Any, trainer.model)):
        raise StudyError(f"{model.name} keeps a dropout of {rate} against its own configuration: choose another MODEL")
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


def train(model: Model, examples: Sequence[Record], recipe: Recipe, folder: Path) -> Training:
    """Fine-tune `model` on examples {id, instruction, response} and return what it left in `folder`.

    Writes model/ (merged, bfloat16), adapter/ (LoRA only) and log.jsonl. A killed training goes on from its last
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
    export(trainer, tokenizer, model, folder, facts, held_out)
    return Training(folder, log, facts, reused=False)


def finished(folder: Path, fingerprint: str) -> Record | None:
    """Return the facts of the finished training in `folder` when they are of this fingerprint, else None."""
    try:
        facts = json.loads((folder / "model" / "training.json").read_text())
    except (OSError, ValueError):
        return None
    return facts if facts["fingerprint"] == fingerprint and (folder / "log.jsonl").exists() else None


def mean_loss(model: Any, rows: Sequence[Record]) -> float:
    """Return the mean loss (nats a trained token) of a model on encoded rows, one at a time."""
    total, count = 0.0, 0
    for row in rows:
        trained = sum(label != IGNORED for label in row["labels"])
        ids, labels = (torch.tensor([row[name]], device=model.device) for name in ("input_ids", "labels"))
        with torch.no_grad():
            total += model(input_ids=ids, labels=labels).loss.item() * trained
        count += trained
    return total / count


def export(
    trainer: SFTTrainer, tokenizer: Any, base: Model, folder: Path, facts: Record, held_out: list[Record]
) -> None:
    """Write adapter/ and the merged model/; model/ appears whole, by a rename, and only then the checkpoints go.

    The held-out loss is taken once more on the merged weights: a change smaller than half a bfloat16 step is rounded
    away when it is added to a weight, so the saved model can be nearer to the base model than the adapters were.
    """
    model = cast(Any, trainer.model)
    if isinstance(model, PeftModel):
        model.peft_config["default"].base_model_name_or_path = base.name  # a name, not this machine's path
        model.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
        (folder / "adapter" / "README.md").unlink(missing_ok=True)  # PEFT's empty form; the study writes its own card
        model = model.merge_and_unload()
    ends = model.generation_config.eos_token_id or []
    ends = [tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])]
    # Nothing but where to stop: sampling settings or a repetition penalty of the base would change greedy answers.
    model.generation_config = GenerationConfig(
        eos_token_id=list(dict.fromkeys(ends)), pad_token_id=tokenizer.pad_token_id
    )
    partial = folder / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model = model.to(torch.bfloat16).eval()
    facts["held-out loss as saved"] = mean_loss(model, held_out)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    write_text(partial / "training.json", json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(folder / "model", ignore_errors=True)
    partial.rename(folder / "model")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)

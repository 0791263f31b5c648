"""The study's trainer: transformers' own on packed batches, with a log, safe checkpoints and the paper's optimizer."""

import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.distributed.tensor import DTensor, Replicate
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, optimization
from transformers.trainer_pt_utils import BatchRebalanceSampler

from lib.core.progress import Progress
from lib.core.records import Record, StudyError, write_text
from lib.train.energy import EnergyMeter
from lib.train.packing import collate, count_trained, loss_sum, total_loss
from lib.train.recipe import Recipe

WHOLE = "whole"  # this file is added to a checkpoint once all of it is on the disk
SPARE = 2**26  # bytes; a disk with less free space counts as full


class Adafactor(optimization.Adafactor):
    """Adafactor (Shazeer & Stern 2018) that also supports parameters sharded by FSDP2.

    transformers' own keeps the row and column means of a sharded weight as plain tensors, which cannot be added to
    sharded ones. Here the means start from the sharded gradient, so they are those of the whole weight.
    """

    def step(self, closure: Any = None) -> Any:
        """Make one update and return what `closure` returns."""
        for parameter in (p for group in self.param_groups for p in group["params"]):
            if isinstance(parameter.grad, DTensor) and not self.state[parameter]:
                zeros: Any = torch.zeros_like(parameter.grad, dtype=torch.float32)
                self.state[parameter].update({"step": 0, "RMS": 0})
                if parameter.dim() < 2:
                    self.state[parameter]["exp_avg_sq"] = zeros
                    continue
                whole = [Replicate()] * zeros.device_mesh.ndim
                self.state[parameter]["exp_avg_sq_row"] = zeros.mean(-1)
                self.state[parameter]["exp_avg_sq_col"] = zeros.mean(-2).redistribute(placements=whole)
        return super().step(closure)


class Watch(TrainerCallback):
    """Adds tokens, seconds and joules to every row of the trainer's log, and prints progress.

    It marks a checkpoint as whole once every process has written its part and all of it is on the disk.
    """

    def __init__(self, trainer: "PackedTrainer") -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Restore the counts of a resumed run."""
        if state.is_world_process_zero:
            self.progress = Progress("fine-tuning", state.max_steps, "updates", done=state.global_step)
        self.seconds, joules = (
            max((row.get(name) or 0.0 for row in state.log_history), default=0.0) for name in ("seconds", "joules")
        )
        self.before = (self.seconds, state.num_input_tokens_seen)
        self.meter, self.earlier = EnergyMeter(), joules

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start timing an update; held-out measurements and checkpoints are not timed."""
        self.started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop timing."""
        self.seconds += time.monotonic() - self.started

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Complete the newest row; StudyError when the loss is not a finite number."""
        row = state.log_history[-1]
        loss = row.get("loss", row.get("eval_loss"))
        if loss is None:
            return
        if not math.isfinite(loss):
            raise StudyError(f"the loss is {loss} at update {state.global_step}: lower LEARNING_RATE")
        joules = self.meter.joules()
        row |= {"seconds": self.seconds, "joules": None if joules is None else self.earlier + joules}
        if "loss" in row and state.is_world_process_zero:
            tokens = state.num_input_tokens_seen
            rate = (tokens - self.before[1]) / max(self.seconds - self.before[0], 1e-6)
            row |= {"tokens": tokens, "tokens_per_second": rate}
            self.before = (self.seconds, tokens)
            self.progress.update(state.global_step, f"loss {loss:.3f} · {rate:,.0f} tokens/s")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint as whole."""
        self.trainer.accelerator.wait_for_everyone()
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            for path in folder.rglob("*"):
                flush(path)
            write_text(folder / WHOLE, "")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Print the last line."""
        if state.is_world_process_zero:
            self.progress.close()


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint, or None."""
    found = [path for path in folder.glob("checkpoint-*") if (path / WHOLE).exists()]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Raise StudyError for a full disk or a full GPU, whichever error a library raises for it."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        remedy = (
            "lower MICRO_BATCH or set GRADIENT_CHECKPOINTING (the training resumes), or METHOD='lora', LAUNCH='fsdp'"
        )
        raise StudyError(f"the GPU's memory is full: {remedy}") from error
    except Exception as error:
        full = shutil.disk_usage(folder).free < SPARE or "No space left" in str(error)
        if isinstance(error, StudyError) or not full:
            raise
        raise StudyError(f"the disk of {folder} is full: free some space and run again; no update is lost") from error


def arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """Return the Trainer's arguments; StudyError for a count below 1 or a batch that the processes cannot divide.

    Create them before the model is loaded: with ZeRO-3 they decide that its weights are sharded while they load.
    """
    counts = {"EPOCHS": recipe.epochs, "BATCH": recipe.batch, "MICRO_BATCH": recipe.micro_batch}
    counts |= {"CHECKPOINT_STEPS": recipe.checkpoint_steps}
    if low := next((name for name, value in counts.items() if value < 1), None):
        raise StudyError(f"{low}={counts[low]} must be 1 or more")
    args = TrainingArguments(
        output_dir=str(folder), seed=recipe.seed, use_cpu=not torch.cuda.is_available(),
        bf16=recipe.dtype == "bfloat16",  # products in bfloat16 also where the adapters are float32
        num_train_epochs=recipe.epochs, learning_rate=recipe.learning_rate, lr_scheduler_type="linear",
        warmup_steps=recipe.warmup, weight_decay=recipe.weight_decay,
        max_grad_norm=-1.0,  # no clipping; the norm is still logged
        per_device_train_batch_size=recipe.micro_batch, gradient_checkpointing=recipe.gradient_checkpointing,
        eval_strategy="steps", eval_steps=recipe.checkpoint_steps, eval_on_start=last_checkpoint(folder) is None,
        save_strategy="steps", save_steps=recipe.checkpoint_steps, save_total_limit=2,
        logging_steps=1, logging_nan_inf_filter=False, include_num_input_tokens_seen="all",
        disable_tqdm=True, report_to="none", dataloader_pin_memory=False, ddp_find_unused_parameters=False,
    )  # fmt: skip
    if args.n_gpu > 1:  # DataParallel would cut packed rows into pieces; LAUNCH is how several GPUs are used
        args._n_gpu = 1
    at_once = recipe.micro_batch * args.world_size
    if recipe.batch % at_once:
        raise StudyError(f"BATCH={recipe.batch} is not a multiple of {at_once}, MICRO_BATCH x processes: change either")
    args.gradient_accumulation_steps = recipe.batch // at_once
    return args


def balanced(lengths: Sequence[int], recipe: Recipe, process: int, processes: int) -> BatchRebalanceSampler:
    """Return the micro-batches of a process as lists of indices: updates of `batch` examples in a seeded order.

    The examples of an update are divided into packs of about equal work. When the last update of an epoch has fewer
    examples than packs, some of the epoch's first ones are used again.
    """
    return BatchRebalanceSampler(
        lengths=list(lengths), effective_batch_size=recipe.batch, dp_size=processes, rank=process, seed=recipe.seed,
        grad_accum=recipe.batch // (recipe.micro_batch * processes), drop_last=False,
    )  # fmt: skip


class PackedTrainer(Trainer):
    """transformers' Trainer with the loss of `lib.train.packing`: every trained token of an update weighs the same.

    An update has `batch` examples, however many processes share them; each packs its part into micro-batches of about
    equal work.
    """

    def __init__(
        self,
        args: TrainingArguments,
        recipe: Recipe,
        model: Any,
        tokenizer: Any,
        rows: Sequence[Record],
        held_out: Sequence[Record],
    ) -> None:
        columns = ("input_ids", "labels")
        dataset = Dataset.from_list([{name: row[name] for name in columns} for row in rows])
        # The paper's optimizer; the learning rate is absolute: not relative to the step, not scaled by the weights.
        options = {"lr": args.learning_rate, "scale_parameter": False, "relative_step": False}
        super().__init__(
            model=model, args=args, data_collator=collate, train_dataset=dataset, eval_dataset=dataset,
            processing_class=tokenizer, optimizer_cls_and_kwargs=(Adafactor, options),
        )  # fmt: skip
        self.recipe, self.lengths, self.held_out = recipe, [len(row["input_ids"]) for row in rows], list(held_out)
        self.model_accepts_loss_kwargs = True  # makes Trainer count an update's trained tokens over all processes
        self.watch = Watch(self)
        self.add_callback(self.watch)
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> BatchRebalanceSampler:
        """Return the sampler with the run's own seed, which transformers does not pass on."""
        return balanced(self.lengths, self.recipe, self.args.process_index, self.args.world_size)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return a micro-batch's share of the mean over all trained tokens of the update.

        Gradients are averaged over processes, so the share is multiplied by their number.
        """
        return loss_sum(model, inputs) * self.accelerator.num_processes / num_items_in_batch

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the held-out loss (nats per trained token); every process takes its share of the examples."""
        place = {"process": self.args.process_index, "processes": self.args.world_size}
        total = total_loss(self.model_wrapped, self.held_out, self.args.device, **place)
        summed: Any = self.accelerator.reduce(total, "sum")
        metrics = {"eval_loss": summed.item() / count_trained(self.held_out)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

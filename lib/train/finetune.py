"""Supervised fine-tuning from a model and examples to a merged model; it can be killed, resumed and distributed.

`python -m lib.train.finetune JOB` is one process of a training that `lib.train.launch` started.
"""

import gc
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig, PreTrainedModel
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from lib.core.models import HUB, Model
from lib.core.progress import say
from lib.core.records import Record, StudyError, content_id, read_records, write_records, write_text
from lib.core.tokenizer import save_tokenizer
from lib.train import launch
from lib.train.facts import dropout, facts_of
from lib.train.packing import ATTENTION, count_trained, mean_loss, unpackable
from lib.train.recipe import Recipe, Training, read_facts
from lib.train.template import TOO_LONG, bos_ids, encode, load_tokenizer, render_prompt, split
from lib.train.trainer import SPARE, PackedTrainer, arguments, explained, last_checkpoint


def load_base(model: Model, dtype: str, quantized: bool = False) -> Any:
    """Return the base model with every dropout set to zero (the official repository's README).

    `quantized` keeps the weights in 4 bits (QLoRA: NF4, double quantization; Dettmers et al. 2023, section 3).
    Raises StudyError for an architecture whose attention cannot be replaced: packed examples would not stay apart.
    """
    config = AutoConfig.from_pretrained(model.path)
    architecture: Any = AutoModelForCausalLM._model_mapping.get(type(config), PreTrainedModel)
    if not architecture._supports_attention_backend:
        raise unpackable(config.model_type, "its attention cannot be replaced")
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    kind = getattr(torch, dtype)
    bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=kind
    )
    extra = {"quantization_config": bits, "device_map": {"": int(os.environ.get("LOCAL_RANK", 0))}} if quantized else {}
    return AutoModelForCausalLM.from_pretrained(
        model.path, config=config, dtype=kind, attn_implementation=ATTENTION, **extra
    )


def trainable(model: Model, recipe: Recipe) -> Any:
    """Return the base model with the parameters that the recipe's method trains.

    lora, qlora: adapters beside every linear layer, in float32, alpha twice the rank; full: every weight.
    Raises StudyError for an unknown method, for qlora without a GPU, and for a rank below 1.
    """
    if recipe.method == "full":
        return load_base(model, recipe.dtype)
    if recipe.method not in ("lora", "qlora"):
        raise StudyError(f"METHOD={recipe.method!r} is unknown: lora, qlora or full")
    if recipe.method == "qlora" and not torch.cuda.is_available():
        raise StudyError("METHOD='qlora' needs a GPU and its environment (make setup DEVICE=gpu): use lora here")
    base = load_base(model, recipe.dtype, quantized=recipe.method == "qlora")
    if recipe.method == "qlora":
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    rank = recipe.lora_rank
    if rank < 1:
        raise StudyError(f"LORA_RANK={rank} must be 1 or more; METHOD='full' trains every weight")
    transformers.set_seed(recipe.seed)  # half of each adapter starts at random values
    return get_peft_model(
        base,
        LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def train(model: Model, examples: Sequence[Record], recipe: Recipe, folder: Path, distributed: str = "") -> Training:
    """Fine-tune `model` on examples {id, instruction, response} and return what it left in `folder`.

    Writes model/ (merged, bfloat16), adapter/ (unless every weight is trained) and log.jsonl (`facts.log_rows`). A
    killed training resumes from its last checkpoint; a finished one of the same model, examples and recipe is returned.
    `distributed` names a configuration of `lib.train.launch`; "" trains in this process.
    Raises StudyError when there is too little to train on, the disk is too small, or the loss is not a finite number.
    """
    fingerprint = fingerprint_of(model, examples, recipe)
    facts = finished(folder, fingerprint)
    reused = facts is not None
    if not reused:
        if distributed:
            launch.run(write_job(model, examples, recipe, folder), distributed)
        else:
            fit(model, examples, recipe, folder)
        facts = finished(folder, fingerprint)
    assert facts is not None
    log = facts.pop("log")
    write_records(folder / "log.jsonl", log)
    return Training(folder, log, facts, reused)


def fingerprint_of(model: Model, examples: Sequence[Record], recipe: Recipe) -> str:
    """Return a hash of all that a training's result depends on, without what only saves memory."""
    texts = sorted((example["id"], example["instruction"], example["response"]) for example in examples)
    facts = asdict(replace(recipe, micro_batch=0))
    del facts["gradient_checkpointing"]
    first = bos_ids(load_tokenizer(model.path))  # weights do not say whether texts begin with a token
    return content_id(model.sha256, facts, render_prompt(""), texts, *first)


def finished(folder: Path, fingerprint: str) -> Record | None:
    """Return the facts of the finished training in `folder` if it has this fingerprint, else None."""
    facts = read_facts(folder)
    return facts if facts and facts["fingerprint"] == fingerprint else None


def check_space(model: Model, recipe: Recipe, folder: Path, checkpoints: Path) -> None:
    """Raise StudyError when the disk has no room for the merged model and three checkpoints; existing ones count.

    A checkpoint has all weights, or adapters of a few per cent of them, and Adafactor's means, which are small.
    """
    weights = sum(path.stat().st_size for path in model.path.glob("*.safetensors"))
    existing = sum(path.stat().st_size for path in checkpoints.rglob("*") if path.is_file())
    needed = weights * (4 if recipe.method == "full" else 1.15) + 2 * SPARE - existing
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StudyError(
            f"training writes up to {needed / 1e9:.1f} GB to {folder}, where {free / 1e9:.1f} GB are free: free some"
        )


def fit(model: Model, examples: Sequence[Record], recipe: Recipe, folder: Path) -> None:
    """Train or resume, then export; every process of a distributed training calls this."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(model.path)
    rows, dropped = encode(examples, tokenizer, recipe.max_length)
    training, held_out = split(rows, recipe.held_out, recipe.seed)
    if recipe.loss_on == "everything":
        training = [row | {"labels": row["input_ids"]} for row in training]
    fingerprint = fingerprint_of(model, examples, recipe)
    checkpoints = folder / "checkpoints" / fingerprint
    check_space(model, recipe, folder, checkpoints)
    counts = {"given": len(examples), TOO_LONG: 0, **dropped, "trained": len(training), "held out": len(held_out)}
    facts = {
        "fingerprint": fingerprint,
        "examples": counts,
        "held-out ids": sorted(row["id"] for row in held_out),
        "trained tokens": count_trained(training),
    }
    with explained(folder):
        args = arguments(recipe, checkpoints)
        trainer = PackedTrainer(args, recipe, trainable(model, recipe), tokenizer, training, held_out)
        if rate := dropout(cast(torch.nn.Module, trainer.model)):
            raise StudyError(f"{model.name} keeps a dropout of {rate} although it is set to 0: choose another MODEL")
        last = last_checkpoint(checkpoints)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # from all processes, where it is sharded
        if launch.PARENT in os.environ and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # in step, while all processes are there
        if not trainer.is_world_process_zero():
            return
        facts |= facts_of(trainer)
        save_adapter(trainer.model, state, tokenizer, model, folder / "adapter")
        del trainer
        gc.collect()  # a GPU has room for what is saved only when the trainer is gone
        unset_hf_deepspeed_config()  # with ZeRO-3 every load would wait for the other processes
        export(state, tokenizer, model, folder, facts, held_out)


def save_adapter(trained: Any, state: Record, tokenizer: Any, base: Model, folder: Path) -> None:
    """Write the adapter, if there is one, with its tokenizer; an earlier training's adapter is removed in any case."""
    shutil.rmtree(folder, ignore_errors=True)
    if isinstance(trained, PeftModel):
        config = trained.peft_config["default"]
        config.base_model_name_or_path = base.name  # a name, not this machine's path
        if base.note == HUB:
            config.base_model_name_or_path, config.revision = base.name.partition("@")[0], base.revision
        trained.save_pretrained(str(folder), state_dict=state, save_embedding_layers=False)
        save_tokenizer(tokenizer, folder)


def export(state: Record, tokenizer: Any, base: Model, folder: Path, facts: Record, held_out: Sequence[Record]) -> None:
    """Write the merged model/, which appears whole, by a rename; only then are the checkpoints removed.

    Adapters are added to the base model's weights in float32 and rounded once to bfloat16. That rounding loses changes
    below half a bfloat16 step, so the held-out loss is measured again on the model as it is saved.
    """
    merged = load_base(base, "float32")
    if (folder / "adapter").exists():
        merged = PeftModel.from_pretrained(merged, str(folder / "adapter")).merge_and_unload()
    else:
        merged.load_state_dict(state)
    ends = merged.generation_config.eos_token_id or []
    ends = [tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])]
    # Stop tokens only: the base model's sampling settings or repetition penalty would change greedy answers.
    merged.generation_config = GenerationConfig(
        eos_token_id=list(dict.fromkeys(ends)), pad_token_id=tokenizer.pad_token_id
    )
    merged = merged.to(torch.bfloat16).to("cuda" if torch.cuda.is_available() else "cpu")
    facts["held-out loss as saved"] = mean_loss(merged, held_out)
    partial = folder / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    merged.save_pretrained(partial)
    save_tokenizer(tokenizer, partial)
    write_text(partial / "training.json", json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(folder / "model", ignore_errors=True)
    partial.rename(folder / "model")
    for done in ("checkpoints", launch.JOB):
        shutil.rmtree(folder / done, ignore_errors=True)


def write_job(model: Model, examples: Sequence[Record], recipe: Recipe, folder: Path) -> Path:
    """Write what the processes of a distributed training need to know and return its folder."""
    job = folder / launch.JOB
    write_records(job / "examples.jsonl", [{k: e[k] for k in ("id", "instruction", "response")} for e in examples])
    facts = {"model": asdict(model) | {"path": str(model.path)}, "recipe": asdict(recipe), "folder": str(folder)}
    write_text(job / "job.json", json.dumps(facts, indent=1) + "\n")
    return job


def main(job: Path) -> int:
    """Take part in the training of a job; return 1 after a StudyError, which is printed for `lib.train.launch`."""
    launch.end_with_parent()
    facts = json.loads((job / "job.json").read_text())
    model = Model(**facts["model"] | {"path": Path(facts["model"]["path"])})
    try:
        fit(model, read_records(job / "examples.jsonl"), Recipe(**facts["recipe"]), Path(facts["folder"]))
    except StudyError as error:
        say(f"{launch.ERROR}{error}")
        return 1
    return 0


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written, and the threads of a group that was left could still abort a process that ends

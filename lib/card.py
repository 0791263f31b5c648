"""The model card, and the facts in it that are read from live objects: settings, dropout, hardware."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCardData

from lib.models import HUB, Model
from lib.provenance import hub_licences, provenance, table
from lib.records import Record, write_text
from lib.sft import Training
from lib.study import clock

USE = """Made to study self-alignment: a model fine-tuned on instructions and answers that a model wrote, and that a
sandbox ran with their tests. It writes Python code from an instruction in the study's template. It is meant
for research and teaching, to be compared with its base model. It is not a product: not for code that nobody reviews,
and not for conversations."""
LIMITS = """- The data are a model's own words. Passing its own tests does not make an answer right: the tests can be as
  wrong as the code.
- Python and English only; one instruction, one answer; no safety training was done and none is claimed.
- Run what it writes in a sandbox.
- Compare its scores with its base model's only, and with their intervals."""
METHODS = {
    "lora": "Low-rank adapters beside the linear layers (LoRA), merged into the weights.",
    "qlora": "Low-rank adapters beside linear layers in 4 bits (QLoRA), merged into the weights.",
    "full": "All parameters were trained.",
}
QUESTION = "Write a Python function that reverses the words of a sentence."
ASK = f"""turns = [{{"role": "user", "content": "{QUESTION}"}}]
prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")
output = model.generate(**prompt, do_sample=False, max_new_tokens=400)
print(tokenizer.decode(output[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))"""


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


def held_out_losses(training: Training) -> dict[str, float]:
    """Return the held-out loss (nats a trained token): before, after, and of the merged model as it was saved."""
    losses = [row["held_out_loss"] for row in training.log if "held_out_loss" in row]
    return {"before": losses[0], "after": losses[-1], "as saved": training.facts["held-out loss as saved"]}


def energy(facts: Record) -> str:
    """Return the energy that a training used, in words; `joules` and `energy counters` are EnergyMeter's."""
    if facts.get("joules") is None:
        return "not measurable on this machine"
    return f"{facts['joules'] / 3600:,.1f} Wh ({facts['energy counters']}; what else ran there is included)"


def header(base: Model, adapter: bool) -> str:
    """Return the YAML header of a card; a base model that is not on the Hub cannot be linked and is left out."""
    on_hub = base.note == HUB
    # A hub model's licence was read from its own card, so it is one of the Hub's identifiers already.
    ours = base.licence if on_hub and " " not in base.licence else hub_licences(base.licence)[0]
    data = ModelCardData(
        base_model=base.name.partition("@")[0] if on_hub else None,
        base_model_relation=("adapter" if adapter else "finetune") if on_hub else None,
        language="en",
        library_name="peft" if adapter else "transformers",
        license=ours,
        license_name=base.licence if ours == "other" else None,
        pipeline_tag="text-generation",
        tags=["code", "python", "self-alignment", "sft"],
    )
    return f"---\n{data.to_yaml()}\n---\n"


def load_merged(folder: str) -> str:
    """Return Markdown on how to load the merged model from `folder`, as seen from the card's own folder."""
    return f"""With transformers:
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}", dtype="auto")
{ASK}
```

With vLLM:
```python
from vllm import LLM, SamplingParams

if __name__ == "__main__":  # vLLM may start processes that import this file again
    llm = LLM(model="{folder}")
    turns = [{{"role": "user", "content": "{QUESTION}"}}]
    print(llm.chat(turns, SamplingParams(temperature=0, max_tokens=400))[0].outputs[0].text)
```"""


def load_adapter(base: Model) -> str:
    """Return Markdown on how to load the adapter, on its base model, from the adapter's own folder."""
    name = base.name.partition("@")[0]
    where = f'"{name}", revision="{base.revision}"' if base.note == HUB else f'resolve("{base.name}").path'
    resolver = "" if base.note == HUB else "from lib.models import resolve  # of this study; it has the base model\n"
    return f"""With peft, on the base model named above (vLLM: load the merged model beside this folder):
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

{resolver}tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained({where}, dtype="bfloat16")
model = PeftModel.from_pretrained(model, ".")
{ASK}
```"""


def write_card(
    model: Model,
    training: Training,
    examples: Sequence[Record],
    data_sha256: str,
    published: Mapping[str, str] | None = None,
) -> str:
    """Write README.md beside the merged model, inside its folder and inside the adapter's, if any; return the first.

    `model` is the base model, `examples` are the dataset records of stage 03, `data_sha256` is their file's hash, and
    `published` maps the files of the published data set to theirs (lib.dataset.write_dataset).
    """
    hashes = {"dataset.jsonl": data_sha256} | dict(published or {})
    title = f"# {model.name}, self-aligned"
    text = header(model, adapter=False) + title + body(model, training, examples, hashes, load_merged("model"))
    write_text(training.folder / "README.md", text)
    inside = header(model, adapter=False) + title + body(model, training, examples, hashes, load_merged("."))
    write_text(training.model / "README.md", inside)
    adapter = training.folder / "adapter"
    if adapter.is_dir():
        told = body(model, training, examples, hashes, load_adapter(model))
        write_text(adapter / "README.md", f"{header(model, adapter=True)}{title}: the adapter{told}")
    return text


def body(model: Model, training: Training, examples: Sequence[Record], hashes: Mapping[str, str], loading: str) -> str:
    """Return what stands below a card's title; `loading` is Markdown on how to load what lies beside the card."""
    facts: dict[str, Any] = training.facts
    losses = ", ".join(f"{value:.3f} {when}" for when, value in held_out_losses(training).items())
    base = {name: getattr(model, name) for name in ("name", "revision", "licence", "sha256", "note")}
    data = facts["examples"] | {"trained tokens (an epoch)": facts["trained tokens"]}
    data |= {f"sha256 of {name}": value for name, value in hashes.items()}
    method = METHODS[facts["method"]] if "method" in facts else ""
    return f"""

{USE}

## Base model
{table(base)}

The weights here come from this base model, and its licence holds for them.

## Data
Instructions, answers and tests that a model wrote, starting from functions of the packages below. How they were made
and chosen, and what their licences mean here, is in the card of the published data set, `dataset` in the run's folder.

{table(data)}

{provenance(examples)}

## Training
{method} Loss on the response and its `{facts["eos"]}` only. Values read from the live trainer:

{table(facts["settings"])}

Hardware: {facts["hardware"]}. Time in updates: {clock(facts["seconds"])}.
Energy, measurements and checkpoints included: {energy(facts)}.
Held-out loss, in nats a trained token (n = {facts["examples"]["held out"]}): {losses}.

## How to load it
The tokenizer's chat template renders the prompt that the model was trained on. Decode greedily.

{loading}

## Evaluation
Notebook 05 scores this model and its base model on the same problems, with intervals: see `05_evaluation` of the run.
The held-out loss above says how well it imitates its data, not how well it programs.

## Limits
{LIMITS}
"""

"""The model card, and the facts in it that are read from live objects: settings, dropout, hardware."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCardData

from lib.core.models import HUB, Model
from lib.core.progress import clock
from lib.core.records import Record, write_text
from lib.publish.provenance import hub_licences, provenance, table
from lib.train.recipe import Training

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
    resolver = (
        "" if base.note == HUB else "from lib.core.models import resolve  # of this study; it has the base model\n"
    )
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
    `published` maps the files of the published data set to theirs (lib.publish.dataset.write_dataset).
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
    losses = ", ".join(f"{value:.3f} {when}" for when, value in training.held_out_losses().items())
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

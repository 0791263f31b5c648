"""The model card: what a fine-tuned model was made from, how, and what it is good for, written from the run's own facts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.finetune import Training
from lib.models import Model
from lib.records import Record, write_text
from lib.study import clock

USE = """Made to study self-alignment: a model trained only on its own answers that passed its own tests. It writes short
Python functions from an instruction in the study's template. It is not a product."""
LIMITS = """- The data are a model's own words. Passing its own tests does not make an answer right: the tests can be as wrong as
  the code.
- Python and English only; one instruction, one answer; no safety training was done and none is claimed.
- Run what it writes in a sandbox.
- A small base model and a small data set: compare scores with the base model's, with their intervals, and with no other's."""


def table(facts: Record) -> str:
    """Return a two-column Markdown table."""
    rows = [f"| {name} | {value:,} |" if isinstance(value, int) else f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def provenance(examples: Sequence[Record]) -> str:
    """Return a Markdown table of the packages whose functions inspired the examples, with licence and count."""
    sources = Counter((e["source"]["package"], e["source"]["version"], e["source"]["licence"]) for e in examples)
    rows = [f"| {package} | {version} | {licence} | {n} |" for (package, version, licence), n in sorted(sources.items())]
    return "\n".join(["| package | version | licence | examples |", "| --- | --- | --- | --- |", *rows])


def held_out_losses(training: Training) -> tuple[float, float]:
    """Return the held-out loss (nats a trained token) before and after the training."""
    losses = [row["held_out_loss"] for row in training.log if "held_out_loss" in row]
    return losses[0], losses[-1]


def write_card(model: Model, training: Training, examples: Sequence[Record], data_sha256: str) -> str:
    """Write README.md beside the model and inside its folder; return its text.

    `examples` are the dataset records of stage 03 and `data_sha256` is their file's hash.
    """
    facts: dict[str, Any] = training.facts
    before, after = held_out_losses(training)
    base = {"name": model.name, "revision": model.revision, "licence": model.licence, "sha256": model.sha256, "note": model.note}
    data = {**facts["examples"], "trained tokens (an epoch)": facts["trained tokens"], "sha256 of dataset.jsonl": data_sha256}
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
Held-out loss: {before:.3f} before, {after:.3f} after ({facts["examples"]["held out"]} examples, nats a trained token).

## Use
The tokenizer's chat template renders the prompt it was trained on; decode greedily and stop at `{facts["eos"]}`.

## Limits
{LIMITS}
"""
    write_text(training.folder / "README.md", text)
    write_text(training.model / "README.md", text)
    return text

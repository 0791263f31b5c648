"""The model cards: templates/model_card.md, filled with what a training recorded about itself, and with scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from lib.core.models import HUB, Model
from lib.core.progress import clock
from lib.core.records import Record, StudyError, write_text
from lib.publish.provenance import facts_table, hub_licences, provenance
from lib.train.recipe import Training

TEMPLATE = str(Path(__file__).with_name("templates") / "model_card.md")


def energy(facts: Record) -> str:
    """Return in words the energy that a training used, as EnergyMeter measured it."""
    if facts.get("joules") is None:
        return "not measurable on this machine"
    return f"{facts['joules'] / 3600:,.1f} Wh ({facts['energy counters']}; includes whatever else ran there)"


def header(base: Model, adapter: bool) -> ModelCardData:
    """Return the YAML header of a card; it links the base model only if that is on the Hub."""
    on_hub = base.note == HUB
    # A hub model's licence was read from its own card, so it is already one of the Hub's identifiers.
    licence = base.licence if on_hub and " " not in base.licence else hub_licences(base.licence)[0]
    return ModelCardData(
        base_model=base.name.partition("@")[0] if on_hub else None,
        base_model_relation=("adapter" if adapter else "finetune") if on_hub else None,
        language="en",
        library_name="peft" if adapter else "transformers",
        license=licence,
        license_name=base.licence if licence == "other" else None,
        pipeline_tag="text-generation",
        tags=["code", "python", "self-alignment", "sft"],
    )


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
    values = values_of(model, training, examples, {"dataset.jsonl": data_sha256} | dict(published or {}))
    adapter = training.folder / "adapter"
    cards = [(training.folder, "model"), (training.model, "."), *([(adapter, "")] if adapter.is_dir() else [])]
    texts = []
    for place, folder in cards:
        data = header(model, adapter=place == adapter)
        card = ModelCard.from_template(data, template_path=TEMPLATE, adapter=place == adapter, folder=folder, **values)
        texts.append(f"{card}\n")
        write_text(place / "README.md", texts[-1])
    return texts[0]


def with_scores(card: str, scores: Sequence[Record], table: str) -> str:
    """Return a tuned model's card with its scores, for people as a table and for programs as `eval_results`.

    `scores` are rows of `lib.evaluate.score`; `table` shows them in Markdown beside the model's before the tuning.
    StudyError for a card without a section on its evaluation.
    """
    made = ModelCard(card)
    made.data["model_name"] = made.text.strip().splitlines()[0].removeprefix("# ")
    made.data["eval_results"] = [
        EvalResult(
            task_type="text-generation",
            dataset_type=row["benchmark"].lower(),
            dataset_name=row["benchmark"],
            dataset_revision=row["version"],
            metric_type="pass@1",
            metric_value=round(100 * row["pass@1"]["value"], 1),
        )
        for row in scores
    ]
    head, mark, rest = str(made).partition("## Evaluation\n")
    if not mark:
        raise StudyError("the tuned model's card has no section Evaluation: run notebook 04 again")
    return f"{head}{mark}{table}\n\n{rest}"


def values_of(model: Model, training: Training, examples: Sequence[Record], hashes: Mapping[str, str]) -> Record:
    """Return the template's values that all cards of a training share; `hashes` are of the files it was trained on."""
    facts, on_hub = training.facts, model.note == HUB
    data = facts["examples"] | {"trained tokens per epoch": facts["trained tokens"]}
    hub_id = model.name.partition("@")[0]
    return {
        "name": model.name,
        "on_hub": on_hub,
        "base": f'"{hub_id}", revision="{model.revision}"' if on_hub else f'resolve("{model.name}").path',
        "facts": {"method": None} | facts,
        "time": clock(facts["seconds"]),
        "energy": energy(facts),
        "losses": ", ".join(f"{value:.3f} {when}" for when, value in training.held_out_losses().items()),
        "tables": {
            "base": facts_table({name: value for name, value in asdict(model).items() if name != "path"}),
            "data": facts_table(data | {f"sha256 of {name}": value for name, value in hashes.items()}),
            "packages": provenance(examples),
            "settings": facts_table(facts["settings"]),
        },
    }

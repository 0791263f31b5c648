"""The card of the published training set: what it is, how it was made, from whose code, and what it is not."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import mean, median

from huggingface_hub import DatasetCard, DatasetCardData

from lib.core.markdown import table
from lib.core.models import Model
from lib.core.records import Record
from lib.core.study import only
from lib.publish.croissant import citation
from lib.publish.provenance import facts_table, hub_licences, packages, provenance
from lib.select.selection import preset

TEMPLATE = str(Path(__file__).with_name("templates") / "data_card.md")
CURATION, SYNTHESIS, FILTERING = map(only, ("curation", "synthesis", "filtering"))

# Parameters that shape the data; none that may hold a path, an address or a key of the machine that made them.
SHOWN = {
    CURATION: ("UNIT", "RULES"),
    SYNTHESIS: (
        "PROMPTS", "RESTRICTED", "DIRECT", "SHOTS", "RESPONSE_SHOTS", "DECKS", "RESPONSE_DECKS", "SAMPLES",
        "TEMPERATURE", "CONCEPT_TOKENS", "INSTRUCTION_TOKENS", "RESPONSE_TOKENS", "CATEGORIES", "DIFFICULTIES",
        "SAMPLING_SEED",
    ),
    FILTERING: (
        "CPU_SECONDS", "MEMORY_MB", "OUTPUT_KB", "PACKAGES", "SELECTION", "CHOICE", "SELECTION_OPTIONS",
    ),
}  # fmt: skip
CHOSEN = {
    "passing": "for each task, one answer that passed its own tests is here",
    "all passing": "every answer that passed its own tests is here",
    "random": "for each task, one answer is here, whether or not it passed its own tests",
    "failing": "for each task, one answer is here that did not pass its own tests",
}
# Texts that the card and the Croissant metadata share; all others are in the template.
TAGS = ["code", "python", "synthetic", "instruction-tuning"]
MADE = """A model was shown pieces of real Python code. It named the concepts in each and made up a task from them (with
DIRECT, from the code itself). Each task was answered several times, with tests. A sandbox ran answers and tests."""
LIMITS = (
    "Nobody has read the examples. Tests and answer are one model's: the tests can be as wrong as the code.",
    "English instructions and Python code only.",
    "The tasks resemble what their source code does. Category and difficulty are what was asked for, not assessed.",
    "The examples were not searched for personal data.",
)
# The Hub's size categories (huggingface_hub.DatasetCardData); each border is ten times the one before.
SIZES = (
    "n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B", "10B<n<100B",
    "100B<n<1T", "n>1T",
)  # fmt: skip


def writers(upstream: Mapping[str, Record]) -> tuple[str, str]:
    """Return the names of the model that wrote the tasks and of the one that answered them: itself or a teacher."""
    metrics = upstream[SYNTHESIS]["metrics"]
    return metrics["model"]["name"], metrics.get("teacher", metrics["model"])["name"]


def title(upstream: Mapping[str, Record]) -> str:
    """Return the name of the data set."""
    author, answering = writers(upstream)
    if author == answering:
        return f"Self-aligned Python tasks of {author}"
    return f"Python tasks of {author}, answered by {answering}"


def summary(n: int, upstream: Mapping[str, Record]) -> str:
    """Return a sentence on what the data are."""
    author, answering = writers(upstream)
    by = author if author == answering else f"{answering}; the tasks are by {author}"
    choice = CHOSEN[upstream[FILTERING]["parameters"]["CHOICE"]]
    return f"{n:,} Python tasks with answers and tests, written by {by}; {choice}."


def decontaminated(parameters: Record) -> bool:
    """Tell whether the parameters of notebook 03 had the examples compared with benchmarks."""
    options = preset(parameters["SELECTION"], choice=parameters["CHOICE"], **parameters["SELECTION_OPTIONS"])
    return options.decontaminate


def size_category(n: int) -> str:
    """Return the Hub's name for a number of rows: n<1K, 1K<n<10K, ...; a border belongs to the larger size."""
    return SIZES[min(max(len(str(n)) - 3, 0), len(SIZES) - 1)]


def header(examples: Sequence[Record], files: Mapping[str, str], name: str) -> DatasetCardData:
    """Return the YAML header: what the Hub shows, searches, and loads as splits."""
    licences = {found for *_, licence in packages(examples) for found in hub_licences(licence)}
    return DatasetCardData(
        pretty_name=name,
        language=["en"],
        license=sorted(licences),
        annotations_creators=["machine-generated"],
        language_creators=["machine-generated"],
        task_categories=["text-generation"],
        size_categories=[size_category(len(examples))],
        tags=TAGS,
        configs=[{"config_name": "default", "data_files": [{"split": s, "path": path} for s, path in files.items()]}],
    )


def composition(examples: Sequence[Record], held_out: Collection[str]) -> Record:
    """Return counts, means and medians of the examples, each a row of a table."""
    counts = {
        f"{field}: {value}": n
        for field in ("category", "difficulty")
        for value, n in sorted(Counter(example[field] for example in examples).items())
    }
    lengths = {
        f"median length of {field}, characters": round(median(len(example[field]) for example in examples))
        for field in ("instruction", "response", "tests")
    }
    return (
        {"examples": len(examples), "train": len(examples) - len(held_out), "held_out": len(held_out)}
        | counts
        | {"mean pass rate of the tasks": f"{mean(example['pass_rate'] for example in examples):.2f}"}
        | lengths
        | {"packages that inspired them": len(packages(examples))}
    )


def method(examples: Sequence[Record], model: Model, upstream: Mapping[str, Record]) -> Record:
    """Return which model wrote the examples and every parameter of SHOWN, each a row of a table."""
    revisions = sorted({example["model"] for example in examples})
    origin = {
        "model that wrote the tasks": writers(upstream)[0],
        "model that answered them": writers(upstream)[1],
        "its revision": ", ".join(revisions),
        "its licence": model.licence if revisions == [model.revision] else "see the model's own card",
        "engine": ", ".join(sorted({example["engine"] for example in examples})),
    }
    return origin | {
        f"{name} of notebook {stage[:2]}": str(upstream[stage]["parameters"][name])
        for stage, names in SHOWN.items()
        for name in names
    }


def funnel(steps: Sequence[Record]) -> str:
    """Return a stage's funnel as a Markdown table."""
    rows = [
        (
            step["step"], f"{step['in']:,}", f"{step['out']:,}", step.get("unit", ""),
            ", ".join(f"{reason}: {n:,}" for reason, n in step["reasons"].items()),
        )
        for step in steps
    ]  # fmt: skip
    return table(("step", "in", "out", "of", "dropped, by reason"), "lrrll", rows)


def card(
    examples: Sequence[Record],
    held_out: Collection[str],
    model: Model,
    upstream: Mapping[str, Record],
    files: Mapping[str, str],
    columns: Mapping[str, str],
    hashes: Mapping[str, str],
    folder: str,
) -> str:
    """Return the card as Markdown; the arguments are write_dataset's, its splits, columns, hashes and folder's name."""
    last = upstream[FILTERING]
    shown = {**hashes, "dataset.jsonl, their source": last["outputs"]["dataset.jsonl"]["sha256"]}
    filled = DatasetCard.from_template(
        header(examples, files, title(upstream)),
        template_path=TEMPLATE,
        summary=summary(len(examples), upstream),
        made=MADE,
        limits=LIMITS,
        decontaminated=decontaminated(last["parameters"]),
        folder=folder,
        citation=citation()[1],
        tables={
            "columns": facts_table(dict(columns)),
            "method": facts_table(method(examples, model, upstream)),
            "funnel": funnel(last["funnel"]),
            "composition": facts_table(composition(examples, held_out)),
            "packages": provenance(examples),
            "files": facts_table({f"sha256 of {file}": sha256 for file, sha256 in shown.items()}),
        },
    )
    return f"{filled}\n"

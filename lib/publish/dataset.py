"""The training set as a Hugging Face data set: Parquet files, card and Croissant metadata, written as one folder."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lib.core.models import Model
from lib.core.records import Record, StudyError, file_sha256, replacing, write_text
from lib.publish.croissant import Column, metadata
from lib.publish.data_card import FILTERING, LIMITS, MADE, TAGS, card, summary, title
from lib.publish.provenance import packages

FILES = {split: f"data/{split}-00000-of-00001.parquet" for split in ("train", "held_out")}
COLUMNS = {
    "id": Column("string", "A hash of what determines the example."),
    "instruction": Column("string", "The task, as the model wrote it; some end with tests to pass."),
    "response": Column("string", "The model's answer, Markdown with Python code: what the loss is taken on."),
    "tests": Column("string", "The model's own tests of the answer, Python assertions."),
    "category": Column("string", "The kind of program that the model was asked for."),
    "difficulty": Column("string", "The difficulty that the model was asked for."),
    "pass_rate": Column("double", "The share of the task's sampled answers that passed their own tests, 0 to 1."),
    "seed": Column("string", "The id of the function that inspired the task (or piece of code, with UNIT snippets)."),
    "source_package": Column("string", "The package or repository of that function."),
    "source_version": Column("string", "Its version or commit."),
    "source_licence": Column("string", "Its licence, an SPDX expression."),
    "source_path": Column("string", "The function's file in the package."),
    "source_line": Column("int64", "The function's first line in that file."),
    "parent": Column("string", "The id of the answer's own record in the run, among the responses of notebook 02."),
    "sample": Column("int64", "Which of the task's sampled answers this is, from 0."),
    "exemplars": Column("list<string>", "The worked examples that the model was shown when it answered, in order."),
    "sampling_seed": Column("int64", "The random seed that the answer was sampled with."),
    "request": Column("string", "The hash of the whole request to the model."),
    "model": Column("string", "The revision of the model that wrote the example."),
    "engine": Column("string", "The program that ran the model, with its version."),
}
ARROW = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "list<string>": pa.list_(pa.string())}


def write_dataset(
    folder: Path, examples: Sequence[Record], held_out: Collection[str], model: Model, upstream: Mapping[str, Record]
) -> dict[str, str]:
    """Write the data set into `folder`, whole or not at all; return the sha256 of its files, by path with the folder.

    `examples` are the dataset records of stage 03, `held_out` the ids that are not trained on, `model` the model being
    tuned, `upstream` the manifests of stages 01 to 03 by name. Equal input gives equal bytes. Raises StudyError for an
    example without a licence, for held-out ids that no example has, and when the disk is full.
    """
    rows = [flat(example) for example in sorted(examples, key=lambda example: example["id"])]
    if strange := set(held_out) - {row["id"] for row in rows}:
        raise StudyError(f"{min(strange)} is held out but is not an example: run notebook 04 from its first cell")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_splits(partial, rows, held_out)
    write_text(partial / "croissant.json", described(partial, examples, upstream))
    hashes = {file: file_sha256(partial / file) for file in [*FILES.values(), "croissant.json"]}
    columns = {name: column.description for name, column in COLUMNS.items()}
    write_text(partial / "README.md", card(examples, held_out, model, upstream, FILES, columns, hashes, folder.name))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return {f"{folder.name}/{file}": file_sha256(folder / file) for file in [*hashes, "README.md"]}


def write_splits(folder: Path, rows: Sequence[Record], held_out: Collection[str]) -> None:
    """Write rows of COLUMNS as one Parquet file per split."""
    schema = pa.schema([(name, ARROW[column.type]) for name, column in COLUMNS.items()])
    for split, file in FILES.items():
        chosen = [row for row in rows if (row["id"] in held_out) == (split == "held_out")]
        with replacing(folder / file) as out:
            pq.write_table(pa.Table.from_pylist(chosen, schema=schema), out)


def described(folder: Path, examples: Sequence[Record], upstream: Mapping[str, Record]) -> str:
    """Return the Croissant metadata of the splits in `folder`."""
    last = upstream[FILTERING]
    return metadata(
        folder,
        FILES,
        COLUMNS,
        sources=list(packages(examples)),
        made=last["finished"],
        writer=", ".join(sorted({example["model"] for example in examples})),
        name=title(upstream),
        description=summary(len(examples), upstream),
        keywords=TAGS,
        data_collection=MADE,
        data_preprocessing_protocol=[f"{s['step']}: {s['in']} in, {s['out']} out" for s in last["funnel"]],
        data_limitations=list(LIMITS),
        data_use_cases=["Instruction tuning of code models, to study self-alignment."],
    )


def flat(example: Record) -> Record:
    """Return an example as a row of COLUMNS; StudyError when its source has no licence."""
    if not example["source"].get("licence"):
        raise StudyError(f"example {example['id']} names no licence of its seed: set LICENCE and run notebook 01 again")
    row = example | {f"source_{name}": value for name, value in example["source"].items()}
    return {name: row[name] for name in COLUMNS}

"""Published data sets as examples to learn from, for those who want the paper's very baselines (Table 11, section 4.4).

`python -m lib.synthesize.published evol-code-80k --count 74000 --out FOLDER` writes what `lib.synthesize.recipes` does:
examples.jsonl, and recipe.json with the licence. `--data` names a local file (.parquet, .jsonl, .json, also .gz), else
the hub is asked. `--count` draws before what repeats a benchmark is dropped. Each program is run in the sandbox, to say
how many do. Nothing of these sets may be committed: their licences differ, and some forbid it.
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.core.cli import command
from lib.core.paths import shown
from lib.core.records import Record, StudyError, content_id
from lib.synthesize import octopack
from lib.synthesize.recipes import begin, finish

Pair = tuple[str, str]  # an instruction, its response


def columns(instruction: str, response: str, more: str = "") -> Callable[[Record], Pair]:
    """Return what reads a row with these columns; that of `more`, if it is not empty, follows the instruction."""
    return lambda row: ("\n\n".join(filter(None, [row[instruction], row.get(more) or ""])), row[response])


def commit(row: Record) -> Pair:
    """Return the pair of a row of CommitPackFT, to which its makers have applied its filters."""
    facts = (row["commit"], octopack.cleaned(row["subject"]), row["new_file"], row["old_contents"], row["new_contents"])
    made = octopack.example(octopack.Commit(*facts))
    return made["instruction"], made["response"]


@dataclass(frozen=True)
class Published:
    """A data set of the hub, its licence, how a row is read, and its files where the hub does not know them."""

    dataset: str
    licence: str
    pair: Callable[[Record], Pair]
    files: str = ""


# Licences and columns as the data sets' cards and other projects' code have them; the files were not at hand.
SETS = {
    "oss-instruct-75k": Published("ise-uiuc/Magicoder-OSS-Instruct-75K", "MIT", columns("problem", "solution")),
    # Which of the next two the paper trained on is open: section 4.4 means the first, the introduction cites the other.
    "evol-code-80k": Published(
        "nickrosh/Evol-Instruct-Code-80k-v1", "CC-BY-NC-SA-4.0", columns("instruction", "output", "input")
    ),
    "evol-codealpaca": Published(
        "theblackcat102/evol-codealpaca-v1", "Apache-2.0", columns("instruction", "output", "input")
    ),
    "self-oss-instruct-sc2": Published(
        "bigcode/self-oss-instruct-sc2-exec-filter-50k", "ODC-By", columns("instruction", "response")
    ),
    "commitpackft": Published("bigcode/commitpackft", "as its rows say", commit, "data/python/data.jsonl"),
}
OASST = "oasst"  # its trees are read by `octopack.conversations`; Apache-2.0


def rows(of: Published, data: Path | None, revision: str) -> Iterator[Record]:
    """Yield the rows of a local file or of the hub's data set at a revision; StudyError when they cannot be had."""
    import datasets  # late: it is large, and only this needs it

    form, place = "json", f"hf://datasets/{of.dataset}@{revision}/{of.files}"
    if data is not None:
        form, place = "parquet" if data.suffix == ".parquet" else "json", str(data)
    try:
        if data is not None or of.files:
            yield from datasets.load_dataset(form, data_files=place, split="train", streaming=True)
        else:
            yield from datasets.load_dataset(of.dataset, revision=revision, split="train", streaming=True)
    except Exception as error:  # of a dozen unrelated classes
        where, why = of.dataset if data is None else shown(data), (str(error).splitlines() or [""])[0][:200]
        raise StudyError(f"{where} cannot be read ({type(error).__name__}: {why}); give --data FILE") from None


def examples(found: Iterable[Record], of: Published) -> tuple[list[Record], Counter[str]]:
    """Return (examples, how many rows were dropped for which reason) of a data set; of equal ones the first stays.

    StudyError for a row without the data set's columns.
    """
    kept, dropped = dict[str, Record](), Counter[str]()
    for number, row in enumerate(found):
        try:
            instruction, response = (text.strip() for text in of.pair(row))
        except (KeyError, AttributeError, TypeError) as error:
            raise StudyError(f"row {number} is none of {of.dataset}: {error!r}; it has {', '.join(row)}") from None
        made = {"id": content_id(instruction, response), "instruction": instruction, "response": response}
        reason = "empty" if not instruction or not response else "repeats another" if made["id"] in kept else ""
        dropped[reason] += 1
        if not reason:
            source = {"dataset": of.dataset, "licence": row.get("license") or of.licence, "row": number}
            kept[made["id"]] = made | {"seed": made["id"], "source": source}
    dropped.pop("", None)
    return list(kept.values()), dropped


def read(name: str, data: Path | None, revision: str) -> tuple[list[Record], Counter[str]]:
    """Return `examples` of the data set of this name; StudyError when it cannot be had."""
    if name != OASST:
        return examples(rows(SETS[name], data, revision), SETS[name])
    if data is None:
        raise StudyError("oasst needs --data: the file of trees, such as 2023-04-12_oasst_ready.trees.jsonl.gz")
    made, dropped = octopack.conversations(data)
    return [each | {"seed": each["id"]} for each in made], dropped


def sampled(given: Sequence[Record], count: int, seed: int) -> list[Record]:
    """Return `count` random examples (0: all), as the paper's section 4.4 draws 74,000 of each set."""
    return random.Random(seed).sample(given, count) if 0 < count < len(given) else list(given)


def main(words: Sequence[str] | None = None) -> None:
    """Make what the command line names, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m lib.synthesize.published", description=__doc__)
    parser.add_argument("name", choices=(*SETS, OASST))
    parser.add_argument("--out", type=Path, required=True, help="the folder that is written")
    parser.add_argument("--data", type=Path, help="a local file; the hub's data set when left out")
    parser.add_argument("--revision", default="main", help="of the hub's data set")
    parser.add_argument("--count", type=int, default=0, help="examples, drawn at random; all when left out")
    parser.add_argument("--seed", type=int, default=3407)
    asked: Any = parser.parse_args(words)
    made, dropped = read(asked.name, asked.data, asked.revision)
    begin(asked)
    said = finish(asked, sampled(made, asked.count, asked.seed), dropped, licence=licence(asked.name))
    print(f"{said['examples']} examples in {shown(asked.out)}, of which {said['run']} have a program that runs")
    print(f"licence: {said['licence']}; dropped: {said['dropped']}")


def licence(name: str) -> str:
    """Return a data set's licence."""
    return SETS[name].licence if name in SETS else "Apache-2.0"


if __name__ == "__main__":
    command(main)

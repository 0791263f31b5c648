"""How near a training set comes to each benchmark: repeats of any, and the nearest example to every problem at hand."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lib.core import markdown
from lib.core.records import Record
from lib.overlap import fingerprints as prints
from lib.overlap.contamination import READERS, Contamination
from lib.overlap.fingerprints import NGRAM, Hashes

SIMILAR = 3  # tokens in a row that count as one element of a text's set; longer ones are shared by hardly any two texts
KINDS = ("exact", "n-gram", "structure")
Problems = Mapping[str, Mapping[str, Record]]  # a benchmark's name -> its problems by task id, as loaded for scoring


class Known(NamedTuple):
    """What a training set holds: the examples' ids and how many runs of SIMILAR tokens each has (`sizes`, [examples]);
    `runs`, all of these runs, sorted, and `owners`, whose each is; `words`, the distinct runs of NGRAM words, sorted.
    """

    ids: Sequence[str]
    sizes: np.ndarray
    runs: Hashes
    owners: np.ndarray
    words: Hashes


def report(dataset: Sequence[Record], benchmarks: Problems, search: Contamination | None = None) -> Record:
    """Return {examples, repeats, closest} of a training set (records with id, instruction and response).

    `repeats` has a row for every benchmark whose fingerprints the study ships: tasks, and how many examples repeat one
    (`Contamination`; an example counts once, under the first benchmark and its strongest kind). It is 0 throughout
    after decontamination, if nothing slipped through. `closest` is `closest` of every benchmark given.
    """
    search = search or Contamination()
    hits = [hit for example in dataset if (hit := search.hit(_text(example)))]
    found = Counter((hit.benchmark, hit.kind) for hit in hits)
    repeats = [
        {"benchmark": each.name, "tasks": each.items} | {kind: found[each.name, kind] for kind in KINDS}
        for each in search.benchmarks
    ]
    known = indexed(dataset)
    nearest = [row for name, problems in benchmarks.items() for row in closest(known, name, problems)]
    return {"examples": len(dataset), "repeats": repeats, "closest": nearest}


def indexed(dataset: Sequence[Record]) -> Known:
    """Return what `closest` compares problems with: read once, however many benchmarks are asked for."""
    texts = [_text(example) for example in dataset]
    sets = [_runs([text], prints.TOKEN, SIMILAR) for text in texts]
    runs = np.concatenate([np.empty(0, np.uint64), *sets])
    order = np.argsort(runs, kind="stable")
    sizes = np.array([len(each) for each in sets], dtype=int)
    owners = np.repeat(np.arange(len(sets)), sizes)[order]
    return Known([example["id"] for example in dataset], sizes, runs[order], owners, _runs(texts, prints.WORD, NGRAM))


def closest(known: Known, name: str, problems: Mapping[str, Record]) -> list[Record]:
    """Return for each problem of a benchmark (HumanEval, MBPP+, ...) how near a training set (`indexed`) comes to it.

    `example` is the id of the training example with the largest `similarity`, the Jaccard similarity, from 0 to 1, of
    the sets of SIMILAR tokens in a row in task and solution and in instruction and response ("" and 0.0 when none
    shares any). `shared` is the share of the problem's runs of NGRAM words that occur anywhere in the training set.
    Neither knows a task that is told in other words: that is for a reader of the `worst` pairs to judge.
    Problems of a benchmark that has no fingerprints are read as HumanEval's are, which is EvoEval's form.
    """
    read = READERS.get(name.removesuffix("+"), READERS["HumanEval"])[0]
    rows = []
    for task, problem in problems.items():
        prose, code = read(problem)[1]
        mine = _runs([*prose, *code], prints.TOKEN, SIMILAR)
        spans = zip(*(np.searchsorted(known.runs, mine, side) for side in ("left", "right")), strict=True)
        owners = np.concatenate([known.owners[:0], *(known.owners[a:b] for a, b in spans)])
        both = np.bincount(owners, minlength=len(known.ids))
        alike = both / np.maximum(len(mine) + known.sizes - both, 1)
        best = int(alike.argmax()) if both.any() else None
        near = {"example": "", "similarity": 0.0}
        if best is not None:
            near = {"example": known.ids[best], "similarity": float(alike[best])}
        asked = _runs([*prose, *code], prints.WORD, NGRAM)
        shared = float(np.isin(asked, known.words).mean()) if len(asked) else 0.0
        rows.append({"benchmark": name, "task_id": task, "shared": shared} | near)
    return rows


def table(made: Record) -> str:
    """Return a report as a Markdown table, a line a benchmark; a benchmark that was not loaded has no similarities."""
    heads = ["benchmark", "tasks", f"examples that repeat it ({', '.join(KINDS)})"]
    heads += [f"tasks of which {NGRAM} words in a row occur", "similarity of the closest example: median, largest"]
    lines = []
    repeats = {row["benchmark"]: row for row in made["repeats"]}
    near: dict[str, list[Record]] = {}
    for row in made["closest"]:
        near.setdefault(row["benchmark"], []).append(row)
    for name in dict.fromkeys([*repeats, *near]):
        known, rows = repeats.get(name), near.get(name, [])
        cells = [name, str(len(rows) or known and known["tasks"])]
        cells.append(", ".join(str(known[kind]) for kind in KINDS) if known else "")
        alike = [row["similarity"] for row in rows]
        cells.append(str(sum(row["shared"] > 0 for row in rows)) if rows else "")
        cells.append(f"{statistics.median(alike):.2f}, {max(alike):.2f}" if rows else "")
        lines.append(cells)
    return markdown.table(heads, "lrrrr", lines)


def worst(made: Record, dataset: Iterable[Record], benchmarks: Problems, n: int = 3) -> str:
    """Return the n most similar pairs of a report in Markdown, problem above example, for a reader to judge."""
    examples = {example["id"]: example for example in dataset}
    rows = sorted(made["closest"], key=lambda row: (-row["similarity"], -row["shared"], row["task_id"]))
    parts = []
    for row in [row for row in rows if row["example"]][:n]:
        problem, example = benchmarks[row["benchmark"]][row["task_id"]], examples[row["example"]]
        asked = f"{problem.get('text') or problem['prompt']}\n{problem.get('code') or problem['canonical_solution']}"
        parts.append(
            f"**{row['benchmark']}, {row['task_id']}** and training example {row['example']}: similarity "
            f"{row['similarity']:.2f}; {100 * row['shared']:.0f} % of its runs of {NGRAM} words are in the examples\n\n"
            f"```python\n{asked.strip()}\n```\n\n> " + _text(example).strip().replace("\n", "\n> ")
        )
    return "\n\n".join(parts)


def _text(example: Record) -> str:
    return f"{example['instruction']}\n{example['response']}"


def _runs(texts: Iterable[str], pattern: re.Pattern[str], length: int) -> Hashes:
    """The distinct runs of so many words or tokens in any of the texts, as sorted hashes."""
    found = [prints.runs(prints.digests(pattern.findall(text)), length) for text in texts]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))

"""How close a training set is to each benchmark: its repeats, and the most similar example to every problem given."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lib.core import markdown
from lib.core.records import Record
from lib.overlap.contamination import READERS, Contamination
from lib.overlap.fingerprints import NGRAM, TOKEN, WORD
from lib.overlap.ngrams import Hashes, distinct_ngrams

SIMILAR = 3  # tokens in a row that count as one element of a text's set; hardly any two texts share longer n-grams
KINDS = ("exact", "n-gram", "structure")
Problems = Mapping[str, Mapping[str, Record]]  # benchmark name -> its problems by task id, as loaded for scoring


class Index(NamedTuple):
    """A training set's n-grams: the examples' ids and how many n-grams of SIMILAR tokens each has (`sizes`,
    [examples]); `ngrams`, all of these, sorted, and `owners`, the examples that they are of; `words`, the distinct
    n-grams of NGRAM words, sorted.
    """

    ids: Sequence[str]
    sizes: np.ndarray
    ngrams: Hashes
    owners: np.ndarray
    words: Hashes


def report(dataset: Sequence[Record], benchmarks: Problems, search: Contamination | None = None) -> Record:
    """Return {examples, repeats, closest} of a training set (records with id, instruction and response).

    `repeats` has a row per benchmark whose fingerprints the study ships: its tasks, and how many examples repeat one
    (`Contamination`; an example counts once, under the first benchmark and its strongest kind). All counts are 0 after
    decontamination, unless it missed something. `closest` is `closest` of every benchmark given.
    """
    search = search or Contamination()
    hits = [hit for example in dataset if (hit := search.hit(_text(example)))]
    found = Counter((hit.benchmark, hit.kind) for hit in hits)
    repeats = [
        {"benchmark": each.name, "tasks": each.items} | {kind: found[each.name, kind] for kind in KINDS}
        for each in search.benchmarks
    ]
    index = indexed(dataset)
    nearest = [row for name, problems in benchmarks.items() for row in closest(index, name, problems)]
    return {"examples": len(dataset), "repeats": repeats, "closest": nearest}


def indexed(dataset: Sequence[Record]) -> Index:
    """Return what `closest` compares problems with: made once, however many benchmarks are compared."""
    texts = [_text(example) for example in dataset]
    sets = [distinct_ngrams([text], TOKEN, SIMILAR) for text in texts]
    ngrams = np.concatenate([np.empty(0, np.uint64), *sets])
    order = np.argsort(ngrams, kind="stable")
    sizes = np.array([len(each) for each in sets], dtype=int)
    owners = np.repeat(np.arange(len(sets)), sizes)[order]
    words = distinct_ngrams(texts, WORD, NGRAM)
    return Index([example["id"] for example in dataset], sizes, ngrams[order], owners, words)


def closest(index: Index, name: str, problems: Mapping[str, Record]) -> list[Record]:
    """Return for each problem of a benchmark (HumanEval, MBPP+, ...) how close a training set (`indexed`) is to it.

    `example` is the id of the training example with the largest `similarity`, the Jaccard similarity, from 0 to 1, of
    the sets of SIMILAR tokens in a row in task and solution and in instruction and response ("" and 0.0 when none
    shares any). `shared` is the share of the problem's n-grams of NGRAM words that occur anywhere in the training set.
    Neither detects a task that is stated in other words: that is for a reader of the `worst` pairs to judge.
    Problems of a benchmark that has no fingerprints are read as HumanEval's are, which is EvoEval's form.
    """
    read = READERS.get(name.removesuffix("+"), READERS["HumanEval"])[0]
    rows = []
    for task, problem in problems.items():
        prose, code = read(problem)[1]
        words = distinct_ngrams([*prose, *code], WORD, NGRAM)
        shared = float(np.isin(words, index.words).mean()) if len(words) else 0.0
        example, similarity = most_similar(index, distinct_ngrams([*prose, *code], TOKEN, SIMILAR))
        row = {"benchmark": name, "task_id": task, "shared": shared, "example": example, "similarity": similarity}
        rows.append(row)
    return rows


def most_similar(index: Index, ngrams: Hashes) -> tuple[str, float]:
    """The id of the example with the largest Jaccard similarity to a set of n-grams, and the similarity."""
    spans = zip(*(np.searchsorted(index.ngrams, ngrams, side) for side in ("left", "right")), strict=True)
    owners = np.concatenate([index.owners[:0], *(index.owners[start:end] for start, end in spans)])
    both = np.bincount(owners, minlength=len(index.ids))
    if not both.any():
        return "", 0.0
    similarities = both / (len(ngrams) + index.sizes - both)
    best = int(similarities.argmax())
    return index.ids[best], float(similarities[best])


def table(made: Record) -> str:
    """Return a report as a Markdown table, a row per benchmark; one that was not loaded has no similarities."""
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
            f"{row['similarity']:.2f}; {100 * row['shared']:.0f} % of its {NGRAM}-word n-grams are in the examples\n\n"
            f"```python\n{asked.strip()}\n```\n\n> " + _text(example).strip().replace("\n", "\n> ")
        )
    return "\n\n".join(parts)


def _text(example: Record) -> str:
    return f"{example['instruction']}\n{example['response']}"

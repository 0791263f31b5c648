"""Whether a text repeats a benchmark's prompts, docstrings or solutions, found by the fingerprints in data/benchmarks.

`python -m lib.overlap.contamination --build FOLDER` builds the fingerprints from the benchmarks' own files.
"""

import argparse
import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.core.cli import command
from lib.core.paths import ROOT
from lib.core.progress import say
from lib.core.records import Record, StudyError, file_sha256
from lib.overlap.fingerprints import (
    MIN_TOKENS,
    NGRAM,
    TOKEN,
    WORD,
    Benchmark,
    Fingerprints,
    Item,
    Source,
    fingerprint,
    load_fingerprints,
    structures,
    without_comments,
)
from lib.overlap.ngrams import Hashes, folded_hashes, ngrams

SHIPPED = ROOT / "data" / "benchmarks"


@dataclass(frozen=True)
class Hit:
    """A repeat: which benchmark, how it was found (exact, n-gram, structure), and the part of the text that repeats."""

    benchmark: str
    kind: str
    evidence: str


class Contamination:
    """Finds what in a text repeats a benchmark item (paper, appendix B); picklable, about 10 MB.

    "exact": an item of at least MIN_TOKENS tokens occurs whole; case, white space and, in code, comments and
    triple-quoted strings do not count. "n-gram": NGRAM words in a row are shared, numbers and signs left out.
    "structure": a function's body has the outline of a solution's, so names, layout and comments do not count.
    `extra` adds further texts by name. Raises StudyError when a shipped file is missing or damaged.
    """

    def __init__(self, extra: Mapping[str, Iterable[str]] | None = None, folder: Path = SHIPPED) -> None:
        every = [load_fingerprints(folder / f"{name}.npz") for name in READERS]
        every += [fingerprint(name, [([text], [text]) for text in texts]) for name, texts in (extra or {}).items()]
        self.benchmarks: list[Benchmark] = [each.benchmark for each in every]
        self._ngrams = _Index([each.ngrams for each in every])
        self._structures = _Index([each.structures for each in every])
        self._wholes: dict[int, list[tuple[int, int, int]]] = {}
        for owner, each in enumerate(every):
            for head, length, whole in each.wholes.tolist():
                self._wholes.setdefault(head, []).append((owner, length, whole))

    def hit(self, text: str) -> Hit | None:
        """The strongest repeat in a text, Python or prose with or without fenced Python; None when there is none."""
        streams = dict.fromkeys((text, without_comments(text)))
        for kind, find, pattern in (("exact", self._exact, TOKEN), ("n-gram", self._ngram, WORD)):
            for stream in streams:
                if found := find(folded_hashes(stream, pattern)):
                    owner, first, last = found
                    at = list(pattern.finditer(stream))
                    repeat = text[at[first].start() : at[last].end()]
                    return Hit(self.benchmarks[owner].name, kind, " ".join(repeat.split()))
        bodies = structures(text)
        owners = self._structures.owners(np.array(list(bodies), np.uint64))
        for owner, name in zip(owners.tolist(), bodies.values(), strict=True):
            if owner >= 0:
                return Hit(self.benchmarks[owner].name, "structure", f"the body of {name}")
        return None

    def reason(self, text: str) -> str | None:
        """ "<benchmark>, exact", "<benchmark>, n-gram" or "<benchmark>, structure" for a repeat, else None."""
        hit = self.hit(text)
        return hit and f"{hit.benchmark}, {hit.kind}"

    def evidence(self, text: str) -> str:
        """The part of the text that repeats a benchmark, for a reader to judge; "" when nothing does."""
        hit = self.hit(text)
        return hit.evidence if hit else ""

    def _exact(self, tokens: Hashes) -> tuple[int, int, int] | None:
        """The number of the benchmark of which a text occurs whole in the tokens, and its first and last token."""
        for start, head in enumerate(ngrams(tokens, MIN_TOKENS).tolist()):
            for owner, length, whole in self._wholes.get(head, ()):
                part = tokens[start : start + length]
                if len(part) == length and ngrams(part, length)[0] == whole:
                    return owner, start, start + length - 1
        return None

    def _ngram(self, words: Hashes) -> tuple[int, int, int] | None:
        """The number of the benchmark that shares n-grams with the words, and the first and last word they cover."""
        owners = self._ngrams.owners(ngrams(words, NGRAM))
        found = np.flatnonzero(owners >= 0)
        if not found.size:
            return None
        first = last = int(found[0])
        while last + 1 < len(owners) and owners[last + 1] >= 0:
            last += 1
        return int(owners[first]), first, last + NGRAM - 1


class _Index:
    """Maps a hash to the first of the benchmarks that have it."""

    def __init__(self, parts: list[Hashes]) -> None:
        numbers = np.repeat(np.arange(len(parts), dtype=np.int16), [len(part) for part in parts])
        self._values, first = np.unique(np.concatenate(parts), return_index=True)
        self._numbers = numbers[first]

    def owners(self, hashes: Hashes) -> NDArray[np.int16]:
        """The number of each hash's benchmark, -1 where there is none."""
        at = np.searchsorted(self._values, hashes).clip(max=len(self._values) - 1)
        return np.where(self._values[at] == hashes, self._numbers[at], np.int16(-1))


Reader = Callable[[Record], tuple[object, Item]]


def _humaneval(task: Record) -> tuple[object, Item]:
    whole = task["prompt"] + task["canonical_solution"]
    return task["task_id"], ([task["prompt"]], [whole, task["canonical_solution"]])


def _mbpp(task: Record) -> tuple[object, Item]:
    text = task.get("text") or re.split(r"\nassert\b", task["prompt"])[0]  # MBPP+ ends its prompts with a test
    return int(re.sub(r"\D", "", str(task["task_id"]))), ([text], [task.get("code") or task["canonical_solution"]])


def _livecodebench(task: Record) -> tuple[object, Item]:
    return task["question_id"], ([task["question_content"], task["starter_code"]], [])


def _evalperf(task: Record) -> tuple[object, Item]:
    return task["task_id"], ([], [code for cluster in task["clusters"] for code in cluster["solutions"]])


def _classeval(task: Record) -> tuple[object, Item]:
    methods = task["methods_info"]
    prose = [task["skeleton"], *(method["method_description"] for method in methods)]
    return task["task_id"], (prose, [task["skeleton"], task["solution_code"], *(m["solution_code"] for m in methods)])


def _ds1000(task: Record) -> tuple[object, Item]:
    return task["metadata"]["problem_id"], ([task["prompt"]], [task["reference_code"]])


def _canitedit(task: Record) -> tuple[object, Item]:
    return task["id"], ([task["instruction_descriptive"], task["instruction_lazy"]], [task["before"], task["after"]])


# Every benchmark of the paper's evaluation whose data could be obtained, and the files it is read from. A text in two
# of them is reported under the first. EvoEval is missing: it is made from HumanEval, but we have no texts of its own.
READERS: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "HumanEval": (_humaneval, ("humaneval/HumanEval.jsonl.gz", "humaneval_plus/HumanEvalPlus-v0.1.10.jsonl.gz")),
    "MBPP": (
        _mbpp,
        (
            "mbpp/mbpp.jsonl",
            "mbpp/sanitized-mbpp.json",
            "mbpp_plus/MbppPlus-v0.1.0.jsonl.gz",
            "mbpp_plus/MbppPlus-v0.2.0.jsonl.gz",
        ),
    ),
    "LiveCodeBench": (_livecodebench, ("livecodebench/lcb_v5_880_derived.jsonl.gz",)),
    "ClassEval": (_classeval, ("classeval/ClassEval_data.json.gz",)),
    "DS-1000": (_ds1000, ("ds1000/ds1000.jsonl.gz",)),
    "CanItEdit": (_canitedit, ("canitedit/canitedit.jsonl.gz",)),
    "EvalPerf": (_evalperf, ("evalperf/evalperf_ladder.jsonl.gz",)),
}


def items(name: str, folder: Path) -> list[Item]:
    """A benchmark's tasks from its files in a folder, the versions of a task joined; StudyError for a bad file."""
    read, files = READERS[name]
    tasks: dict[object, Item] = {}
    for file in files:
        try:
            for record in _records(folder / file):
                key, (prose, code) = read(record)
                before = tasks.get(key, ((), ()))
                tasks[key] = ([*before[0], *prose], [*before[1], *code])
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise StudyError(f"{folder / file} cannot be read as {name} ({error!r}); put that file there") from error
    return list(tasks.values())


def build(name: str, folder: Path) -> Fingerprints:
    """A benchmark's fingerprints from its files in a folder laid out as READERS says; StudyError for a bad file."""
    tasks = items(name, folder)
    files = READERS[name][1]
    sources = (Source(file, file_sha256(folder / file)) for file in files)
    return fingerprint(name, tasks, tuple(sources))


def _records(path: Path) -> Iterator[Record]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    yield from json.loads(text) if text.startswith("[") else map(json.loads, filter(None, text.split("\n")))


def main() -> None:
    """Build all fingerprints from the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.overlap.contamination", description=__doc__)
    files = [file for _, names in READERS.values() for file in names]
    parser.add_argument("--build", type=Path, required=True, metavar="FOLDER", help=f"holds {', '.join(files)}")
    folder = parser.parse_args().build
    for made in [build(name, folder) for name in READERS]:
        path = SHIPPED / f"{made.benchmark.name}.npz"
        made.save(path)
        say(f"{path.name}: {made.benchmark.items} items, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    command(main)

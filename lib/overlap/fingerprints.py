"""Fingerprints of benchmarks: hashes by which a repeat is recognised although the original is not shipped."""

import json
import keyword
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.core.records import StudyError
from lib.overlap.ngrams import BITS, Hashes, digest, folded_hashes, ngrams, word_hashes
from lib.overlap.outlines import BUILTINS, docstrings, outlines

# All limits are the study's own (the official code looks for exact substrings only), measured on the pinned corpus.
NGRAM = 10  # words
MIN_TOKENS = 8  # half of all code contains shorter texts ("return x + y"), so they prove nothing
MIN_DISTINCTIVE = 3  # words of an n-gram that are neither Python's nor single letters; "for i in range(n)" has none
BOILERPLATE = 20  # an n-gram in more items than this is the benchmark's way of asking, not a task

Item = tuple[Sequence[str], Sequence[str]]
"""The texts of one task: prose to be compared word by word, and code to be compared without its comments."""

WORD, TOKEN = re.compile(r"[^\W\d]\w*"), re.compile(r"\w+|[^\w\s]")
# Comments and triple-quoted strings; plain strings are matched only so that a # in them starts no comment.
_COMMENT = re.compile(
    r'("""(?:\\.|.)*?"""' r"|'''(?:\\.|.)*?'''|#[^\n]*)" r'|"(?:\\.|[^"\\\n])*"' r"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)
_COMMON = frozenset(word.lower() for word in [*keyword.kwlist, *BUILTINS])


@dataclass(frozen=True)
class Source:
    """A file that fingerprints were built from: path in the benchmarks' folder, hash of the unzipped content."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Benchmark:
    """What fingerprints were made of: the benchmark's name, its number of tasks, its files."""

    name: str
    items: int
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The hashes of one benchmark, sorted.

    `wholes` has a row for each text of at least MIN_TOKENS tokens: hash of its first MIN_TOKENS tokens, number of
    its tokens, hash of them all. `ngrams` holds its n-grams of NGRAM words, `structures` its functions' outlines.
    """

    benchmark: Benchmark
    wholes: Hashes
    ngrams: Hashes
    structures: Hashes

    def save(self, path: Path) -> None:
        """Write as .npz: the byte planes of each array, because those of the high bytes compress to almost nothing."""
        meta = np.frombuffer(json.dumps(asdict(self.benchmark)).encode(), np.uint8)
        planes: dict[str, Any] = {name: _planes(getattr(self, name)) for name in ("wholes", "ngrams", "structures")}
        np.savez_compressed(path, meta=meta, **planes)


def load_fingerprints(path: Path) -> Fingerprints:
    """Read one benchmark's fingerprints; StudyError when the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            meta = json.loads(arrays["meta"].tobytes())
            sources = tuple(Source(**source) for source in meta["sources"])
            wholes, *others = (_hashes(arrays[name]) for name in ("wholes", "ngrams", "structures"))
            return Fingerprints(Benchmark(meta["name"], meta["items"], sources), wholes.reshape(-1, 3), *others)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        advice = "restore it with `git checkout data/benchmarks`"
        raise StudyError(f"{path.name} holds no fingerprints of a benchmark ({error}); {advice}") from error


def fingerprint(name: str, items: Iterable[Item], sources: tuple[Source, ...] = ()) -> Fingerprints:
    """Fingerprints of tasks. The docstrings in their code count as prose; structures are of their functions.

    N-grams that more than BOILERPLATE tasks share, or with fewer than MIN_DISTINCTIVE distinctive words, are dropped.
    """
    found: list[Hashes] = []
    wholes: set[tuple[int, int, int]] = set()
    bodies: set[int] = set()
    for prose, code in items:
        documentation = {text for piece in code for text in docstrings(piece)}
        texts = [*sorted({*prose, *documentation}), *sorted({without_comments(piece) for piece in code})]
        found.append(np.unique(np.concatenate([_distinctive_ngrams(text) for text in ["", *texts]])))
        for tokens in (folded_hashes(text, TOKEN) for text in texts):
            if len(tokens) >= MIN_TOKENS:
                wholes.add((int(ngrams(tokens, MIN_TOKENS)[0]), len(tokens), int(ngrams(tokens, len(tokens))[0])))
        bodies.update(structure for piece in code for structure in structures(piece))
    values, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *found]), return_counts=True)
    whole = np.array(sorted(wholes), np.uint64).reshape(-1, 3)
    benchmark = Benchmark(name, len(found), sources)
    return Fingerprints(benchmark, whole, values[counts <= BOILERPLATE], np.array(sorted(bodies), np.uint64))


def without_comments(text: str) -> str:
    """The text with its comments and triple-quoted strings blanked out; the rest keeps its place."""
    return _COMMENT.sub(lambda found: " " * len(found[0]) if found[1] else found[0], text)


def structures(text: str) -> dict[int, str]:
    """A hash of BITS bits for every outline of a text's functions -> the function's name."""
    return {digest(" ".join(entries)) >> (64 - BITS): name for name, entries in outlines(text)}


def _distinctive_ngrams(text: str) -> Hashes:
    words = [word.lower() for word in WORD.findall(text)]
    own = [word if len(word) > 1 and word not in _COMMON else "" for word in words]
    starts = range(len(words) - NGRAM + 1)
    distinctive = [len({*own[start : start + NGRAM]} - {""}) >= MIN_DISTINCTIVE for start in starts]
    return ngrams(word_hashes(words), NGRAM)[np.array(distinctive, bool)]


def _planes(hashes: Hashes) -> NDArray[np.uint8]:
    """The bytes of the numbers, the highest ones of all first; shape (8, hashes.size)."""
    return np.ascontiguousarray(hashes.reshape(-1).astype(">u8").view(np.uint8).reshape(-1, 8).T)


def _hashes(planes: NDArray[np.uint8]) -> Hashes:
    return np.ascontiguousarray(planes.T).view(">u8").reshape(-1).astype(np.uint64)

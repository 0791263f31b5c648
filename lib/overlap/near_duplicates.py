"""Near-duplicates: texts whose sets of 5-word shingles are similar; the first of each group by id is kept.

The search is an exact set-similarity join by prefix filtering (Bayardo et al., WWW 2007; Xiao et al., WWW 2008): with
the elements of all sets sorted from rare to frequent, two similar sets share one of their first elements, so shingles
that many texts have propose no pairs. The index is ours because those of `datasketch` and `rensa` are MinHash LSH,
which must propose 79 % of all pairs of similarity 1/3 to find 99 % of those of 1/2: its time grows with the square of
a corpus that shares boilerplate.
"""

import math
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lib.core.records import StudyError
from lib.overlap.ngrams import Hashes, ngrams, word_hashes

SHINGLE = 5  # words in a row that count as one element of a text's set
_WORD = re.compile(r"\w+")


def shingles(text: str) -> Hashes:
    """The sorted hashes of a text's shingles; a text of fewer words is one shingle, filled up with empty words."""
    words = word_hashes(_WORD.findall(text))
    missing = max(SHINGLE - len(words), 0)
    return np.unique(ngrams(np.append(words, np.zeros(missing, np.uint64)), SHINGLE))


def jaccard(one: set[int], other: set[int]) -> float:
    """|intersection| / |union| of two sets, not both empty, from 0 to 1."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def prefixes(size: int, threshold: float) -> tuple[int, int]:
    """How many of a set's rarest elements surely hold one that a similar set of at least, or at most, its size has.

    Similar sets x and y share at least t * max(|x|, |y|) elements, and at least t / (1 + t) * (|x| + |y|). If none of
    x's first |x| + 1 - shared were among them, fewer than `shared` would be left.
    """
    shared = (2 * threshold / (1 + threshold) * size, threshold * size)
    for_larger, for_smaller = (size + 1 - math.ceil(least - 1e-9) for least in shared)  # products may be rounded up
    return for_larger, for_smaller


class _Postings:
    """The texts filed under each rank, as linked lists in flat arrays, which take 8 bytes per entry."""

    def __init__(self, ranks: int) -> None:
        self.last = array("i", [-1]) * ranks
        self.texts, self.before = array("i"), array("i")

    def add(self, ranks: Iterable[int], text: int) -> None:
        """File a text under each of the ranks."""
        for rank in ranks:
            self.before.append(self.last[rank])
            self.last[rank] = len(self.texts)
            self.texts.append(text)

    def find(self, ranks: Iterable[int]) -> Iterator[int]:
        """The texts filed under any of the ranks, some of them several times."""
        for place in map(self.last.__getitem__, ranks):
            while place >= 0:
                yield self.texts[place]
                place = self.before[place]


def _shared(sets: Sequence[Hashes]) -> tuple[Hashes, NDArray[np.int64]]:
    """The elements of several sets, sorted, then one of none; and the ranks of the former, 0 for the rarest."""
    elements = np.concatenate([np.empty(0, np.uint64), *sets])
    elements.sort()  # in place: these are all shingles of the corpus
    shared, counts = np.unique(elements[1:][elements[1:] == elements[:-1]], return_counts=True)
    return np.append(shared, ~np.uint64(0)), np.argsort(np.argsort(counts, kind="stable"))


def _resembling(sets: Sequence[Hashes], threshold: float) -> Iterator[tuple[int, int]]:
    """Yield (dropped, kept) numbers of texts, taking them in order and comparing each with those kept before."""
    shared, ranks = _shared(sets)
    smaller, larger = _Postings(len(shared)), _Postings(len(shared))  # of the kept texts
    for text, elements in enumerate(sets):
        places = np.searchsorted(shared, elements)
        own = np.sort(ranks[places[shared[places] == elements]]).tolist()
        unique = len(elements) - len(own)  # elements of no other text, the rarest of all
        for_larger, for_smaller = (own[: max(size - unique, 0)] for size in prefixes(len(elements), threshold))
        near = sorted({*smaller.find(for_smaller), *larger.find(for_larger)})
        mine = set(elements.tolist()) if near else set()
        alike = next((other for other in near if jaccard(mine, set(sets[other].tolist())) >= threshold), None)
        if alike is None:
            smaller.add(for_larger, text)
            larger.add(for_smaller, text)
        else:
            yield text, alike


def scan(pairs: Iterable[tuple[str, str]], threshold: float = 0.5) -> dict[str, str]:
    """Each dropped id -> the kept id that its text resembles, for (id, text) pairs in rising order of id.

    Texts are read once and not held: a text of 100 words costs about 2 kB until the end. Raises ValueError for ids
    out of order and StudyError for a threshold that is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise StudyError(f"no near-duplicates at a similarity of {threshold}; give a threshold above 0, at most 1")
    keys: list[str] = []
    sets: list[Hashes] = []
    for key, text in pairs:
        keys.append(key)
        sets.append(shingles(text))
    if any(key >= following for key, following in zip(keys, keys[1:], strict=False)):
        raise ValueError("ids are not in rising order")
    return {keys[text]: keys[alike] for text, alike in _resembling(sets, threshold)}


def near_duplicates(texts: Mapping[str, str], threshold: float = 0.5) -> dict[str, str]:
    """Each dropped id -> the kept id that its text resembles (Jaccard >= threshold; paper, appendix B: 0.5).

    Ids are taken in sorted order and one is dropped when it resembles one kept before, so the result does not
    depend on the order of `texts`.
    """
    return scan(sorted(texts.items()), threshold)

"""Near-duplicates by MinHash and locality-sensitive hashing; the first of each group by id is kept.

`rensa` makes the signatures: its R-MinHash takes hashes that are already there, costs hardly more for many slots than
for few, is the same for a seed with any number of threads and with or without SIMD (tried: x86), and gave the
cheapest sketch of those measured (`datasketch`, `datatrove`, rensa's own C-MinHash; its rho sketch samples the text,
so the set alone would not decide). The index is a sort of numpy arrays: rensa's own is asked with sketch objects that
cannot be made from hashes, and its flags do not name the text that was resembled; an index of Python dicts would take
several GB for a million texts.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue] (compiled, without stubs)

from lib.core.records import StudyError

SHINGLE = 5  # words in a row that count as one element of a text's set
SLOTS = 128  # numbers in a signature
FOUND = 0.99  # least probability that a pair exactly at the threshold is proposed
SEED = 1
BATCH = 100  # texts hashed at a time: what that takes fits into a processor's cache
ODD = 0x9E3779B97F4A7C15  # multiplying by it loses no bits

Hashes = NDArray[np.uint64]


def _fold(columns: Iterable[Hashes]) -> Hashes:
    """One hash for each row of the columns, which depends on their order."""
    total = np.zeros(1, np.uint64)
    for column in columns:
        total = (total * np.uint64(ODD)) ^ column
        total ^= total >> np.uint64(32)
    return total


@cache
def _characters() -> Hashes:
    r"""A number like a random one for each code point that can be in a word (\w), 0 for the others."""
    points = np.arange(sys.maxunicode + 1, dtype=np.uint64)
    inside = np.fromiter((chr(point).isalnum() or chr(point) == "_" for point in points.tolist()), bool)
    return _fold([points] * 4) * inside


def _words(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    r"""The hashes of each text's words (\w+), end to end, and how many words each has.

    A word's hash is the sum of its characters' numbers times powers of ODD, by their place in the word; the powers are
    first counted from the start of all texts.
    """
    points = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    values = np.append(_characters()[points], np.uint64(0))
    inside = values != 0
    starts = np.flatnonzero(inside & ~np.append(False, inside[:-1]))
    powers, inverse = (np.cumprod(np.full(len(values), base, np.uint64)) for base in (ODD, pow(ODD, -1, 2**64)))
    hashes = np.add.reduceat(values * powers, starts) * inverse[starts]
    ends = np.cumsum([len(text) + 1 for text in texts])
    return hashes, np.diff(np.searchsorted(starts, ends), prepend=0)


def shingles(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The hashes of each text's runs of SHINGLE words, end to end, and the len(texts) + 1 bounds between them.

    A shorter text is one shingle, as if filled up with empty words. Two different shingles share a hash with
    probability 2^-64: among 10^8 different ones the odds are 1 in 3,000 that any two do.
    """
    hashes, counts = _words(texts)
    missing = np.maximum(SHINGLE - counts, 0)
    hashes = np.insert(hashes, np.repeat(np.cumsum(counts), missing), 0)
    ends = np.cumsum(counts + missing)
    runs = len(hashes) - SHINGLE + 1
    whole = np.ones(len(hashes), bool)
    whole[ends[:, None] - np.arange(1, SHINGLE)] = False  # a run that starts there would reach into the next text
    bounds = np.concatenate([[0], ends - (SHINGLE - 1) * np.arange(1, len(ends) + 1)])
    return _fold(hashes[start : start + runs] for start in range(SHINGLE))[whole[:runs]], bounds


def banding(threshold: float) -> tuple[int, int]:
    """(bands, rows): the most rows a band that still propose a pair at the threshold with probability >= FOUND.

    A pair of similarity s is proposed with probability 1 - (1 - s^rows)^bands: at 0.5, 42 bands of 3 find 99.6 %.
    Raises StudyError for a threshold that no banding of SLOTS serves.
    """
    for rows in range(SLOTS, 0, -1):
        bands = SLOTS // rows
        if 0 < threshold <= 1 and (1 - threshold**rows) ** bands <= 1 - FOUND:
            return bands, rows
    raise StudyError(f"no near-duplicates at a similarity of {threshold}; give a threshold from 0.04 to 1")


def _bands(hashes: Hashes, bounds: NDArray[np.int64], bands: int, rows: int) -> Hashes:
    """The (texts, bands) hashes of the signatures' bands; texts that share one in a column are proposed."""
    sketch = RMinHash.digest_matrix_from_flat_token_hashes(hashes, bounds.astype(np.uint64), SLOTS, SEED)
    slots = np.array(sketch.to_rows(), np.uint64)[:, : bands * rows].reshape(-1, bands, rows)
    return _fold(slots[:, :, row] for row in range(rows))


def _buckets(bands: Hashes) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Which bucket each text falls into, (texts, bands), -1 where it is alone; and the sizes of the buckets."""
    places = np.empty(bands.shape, np.int32)
    sizes = [np.zeros(0, np.int64)]
    made = 0
    for band in range(bands.shape[1]):
        _, inverse, counts = np.unique(bands[:, band], return_inverse=True, return_counts=True)
        shared = counts > 1
        places[:, band] = np.where(shared, made + np.cumsum(shared) - 1, -1)[inverse]
        sizes.append(counts[shared])
        made += len(sizes[-1])
    return places, np.concatenate(sizes)


def jaccard(one: set[int], other: set[int]) -> float:
    """|intersection| / |union| of two sets, not both empty, from 0 to 1."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def _resembling(sets: Sequence[Hashes], bands: Hashes, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield (dropped, kept) numbers of texts, taking them in order and comparing each with those kept before."""
    places, sizes = _buckets(bands)
    starts = np.cumsum(sizes) - sizes
    ends = starts.copy()
    kept = np.empty(sizes.sum(), np.int32)  # bucket b holds kept[starts[b]:ends[b]]
    held = kept.data  # slices of it hand out plain numbers
    for text in np.flatnonzero((places >= 0).any(axis=1)).tolist():
        buckets = places[text][places[text] >= 0]
        limits = zip(starts[buckets].tolist(), ends[buckets].tolist(), strict=True)
        near = sorted(set[int]().union(*(held[start:end] for start, end in limits if start < end)))
        mine = set(sets[text].tolist()) if near else set()
        alike = next((other for other in near if jaccard(mine, set(sets[other].tolist())) >= threshold), None)
        if alike is None:
            kept[ends[buckets]] = text
            ends[buckets] += 1
        else:
            yield text, alike


def scan(pairs: Iterable[tuple[str, str]], threshold: float = 0.5) -> dict[str, str]:
    """Each dropped id -> the kept id that its text resembles, for (id, text) pairs in rising order of id.

    Texts are read once and not held: a text of 100 words costs about 1.5 kB until the end. Raises ValueError for ids
    out of order and StudyError as `banding` does.
    """
    shape = banding(threshold)
    keys: list[str] = []
    sets: list[Hashes] = []
    bands: list[Hashes] = [np.empty((0, shape[0]), np.uint64)]
    rest = iter(pairs)
    while batch := list(islice(rest, BATCH)):
        keys += [key for key, _ in batch]
        hashes, bounds = shingles([text for _, text in batch])
        sets += np.split(hashes, bounds[1:-1])
        bands.append(_bands(hashes, bounds, *shape))
    if any(key >= following for key, following in zip(keys, keys[1:], strict=False)):
        raise ValueError("ids are not in rising order")
    return {keys[text]: keys[alike] for text, alike in _resembling(sets, np.concatenate(bands), threshold)}


def near_duplicates(texts: Mapping[str, str], threshold: float = 0.5) -> dict[str, str]:
    """Each dropped id -> the kept id that its text resembles (Jaccard >= threshold; paper, appendix B: 0.5).

    Ids are taken in sorted order and one is dropped when it resembles one kept before, so the result does not
    depend on the order of `texts`. Hashing only proposes pairs; the exact similarity decides.
    """
    return scan(sorted(texts.items()), threshold)

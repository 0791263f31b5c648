"""Hashes of words and n-grams, the same on every machine: what near-duplicates and contamination are found by."""

import functools
import hashlib
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# The 3e5 hashes shipped, looked up by the 300 of a function of usual length, give less than one false hit per million
# functions: 3e5 * 300 / 2**48 = 3e-7. Of the 1e8 distinct n-grams of a million texts, about 20 pairs share a hash.
BITS = 48

Hashes = NDArray[np.uint64]

_FACTOR = 0x9E3779B97F4A7C15  # any odd number, so that it has an inverse modulo 2**64
_INVERSE = pow(_FACTOR, -1, 2**64)


def digest(text: str) -> int:
    """64-bit hash of a text, the same on every machine and with every Python."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


_word_digest = functools.lru_cache(1 << 18)(digest)


def word_hashes(words: Iterable[str]) -> Hashes:
    """The 64-bit hashes of words, in order."""
    return np.fromiter(map(_word_digest, words), np.uint64)


def folded_hashes(text: str, pattern: re.Pattern[str]) -> Hashes:
    """The hashes of the words that match `pattern` in a text, in order; case is ignored."""
    return word_hashes(map(str.lower, pattern.findall(text)))


def ngrams(words: Hashes, n: int) -> Hashes:
    """A hash of BITS bits for every n words in a row, in order; shape (len(words) - n + 1,) or empty.

    It is the polynomial in _FACTOR whose coefficients are the words' hashes, modulo 2**64, from running sums.
    """
    count = len(words) - n + 1
    if count < 1:
        return np.empty(0, np.uint64)
    size = 1 << max(10, len(words).bit_length())
    sums = np.zeros(len(words) + 1, np.uint64)
    np.cumsum(words * _powers(_FACTOR, size)[: len(words)], out=sums[1:])
    return ((sums[n:] - sums[:count]) * _powers(_INVERSE, size)[:count]) >> np.uint64(64 - BITS)


def distinct_ngrams(texts: Iterable[str], pattern: re.Pattern[str], n: int) -> Hashes:
    """The sorted hashes of the distinct n-grams of words that match `pattern` in any of the texts; case is ignored."""
    found = [ngrams(folded_hashes(text, pattern), n) for text in texts]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))


@functools.cache
def _powers(base: int, size: int) -> Hashes:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)

"""Near-duplicates by MinHash and locality-sensitive hashing; the first of each group by id is kept."""

import re
from collections.abc import Mapping

from datasketch import MinHash, MinHashLSH

SHINGLE = 5  # words in a row that count as one element of a text's set
PERMUTATIONS = 128


def shingles(text: str) -> set[str]:
    """The set of runs of SHINGLE words in a text; a shorter text is one shingle."""
    words = re.findall(r"\w+", text)
    return {" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1))}


def jaccard(one: set[str], other: set[str]) -> float:
    """|intersection| / |union| of two shingle sets, from 0 to 1."""
    return len(one & other) / len(one | other)


def near_duplicates(texts: Mapping[str, str], threshold: float = 0.5) -> dict[str, str]:
    """Each dropped id -> the kept id that its text resembles (Jaccard >= threshold; paper, appendix B: 0.5).

    Ids are taken in sorted order and one is dropped when it resembles one kept before, so the result does not
    depend on the order of `texts`. Hashing only proposes pairs; the exact similarity decides.
    """
    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    sets: dict[str, set[str]] = {}
    dropped: dict[str, str] = {}
    for key in sorted(texts):
        words = shingles(texts[key])
        signature = MinHash(num_perm=PERMUTATIONS, seed=1)
        signature.update_batch([word.encode() for word in words])
        near = sorted(str(other) for other in index.query(signature))
        alike = [other for other in near if jaccard(words, sets[other]) >= threshold]
        if alike:
            dropped[key] = alike[0]
        else:
            sets[key] = words
            index.insert(key, signature)
    return dropped

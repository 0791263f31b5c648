"""N-gram hashes: equal wherever the words occur, the same on every machine, and none across the end of a text."""

import numpy as np

from lib.overlap import ngrams
from lib.overlap.fingerprints import WORD


def test_an_ngram_has_the_same_hash_wherever_it_occurs() -> None:
    words = ngrams.word_hashes(f"word{n % 700}" for n in range(3000))
    hashes = ngrams.ngrams(words, 10)
    assert len(hashes) == 2991 and len(np.unique(hashes)) == 700
    assert hashes[5] == hashes[705] == ngrams.ngrams(words[5:15], 10)[0]
    assert ngrams.ngrams(words[:9], 10).size == 0


def test_hashes_are_the_same_on_every_machine() -> None:
    words = ngrams.folded_hashes(" ".join(f"Word{n % 700}" for n in range(20)), WORD)
    assert ngrams.digest("word") == 10776770685243991114
    assert int(ngrams.ngrams(words, 10)[0]) == 253780338477299


def test_distinct_ngrams_are_counted_once_and_end_with_their_text() -> None:
    together = ngrams.distinct_ngrams(["a b c", "B C d", "", "c"], WORD, 2)
    apart = [ngrams.distinct_ngrams([pair], WORD, 2)[0] for pair in ("a b", "b c", "c d")]
    assert together.tolist() == sorted(apart)
    assert ngrams.distinct_ngrams([], WORD, 2).size == 0

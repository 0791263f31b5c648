"""The diversity of a set of texts, measured by words and n-grams, without a model."""

import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from lib.core.records import Record

NGRAM = 4  # words; the longest of BLEU
DRAWS = 200  # random subsets


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


def ngrams(text: str) -> list[tuple[str, ...]]:
    """Return all n-grams of four words of a text, in their order."""
    found = words(text)
    return [tuple(found[index : index + NGRAM]) for index in range(len(found) - NGRAM + 1)]


def unique_ngrams(texts: Sequence[str]) -> float:
    """Return the share of n-grams, from 0 to 1, that occur only once in all the texts."""
    counts = Counter(ngram for text in texts for ngram in ngrams(text))
    return sum(count == 1 for count in counts.values()) / max(counts.total(), 1)


def word_entropy(texts: Sequence[str]) -> float:
    """Return the Shannon entropy of the distribution of single words, in bits."""
    counts = Counter(word for text in texts for word in words(text))
    return sum(-count / counts.total() * math.log2(count / counts.total()) for count in counts.values())


def shared_ngrams(texts: Sequence[str]) -> float:
    """Return the mean over texts of the share of n-grams, from 0 to 1, that another of the texts also has."""
    sets = [set(ngrams(text)) for text in texts]
    holders = Counter(ngram for found in sets for ngram in found)
    shares = [sum(holders[ngram] > 1 for ngram in found) / len(found) for found in sets if found]
    return statistics.fmean(shares) if shares else 0.0


MEASURES: dict[str, Callable[[Sequence[str]], float]] = {
    "four-word sequences that occur once": unique_ngrams,
    "entropy of words (bits)": word_entropy,
    "four-word sequences shared with another text": shared_ngrams,
}


def beside(texts: Sequence[str], others: Sequence[str], seed: int) -> dict[str, Record]:
    """Measure random subsets of `texts` of the size of `others`, and `others`: all measures depend on the size.

    Returns {measure: {"ours": mean over 200 subsets, "low", "high": their middle 95 %, "exemplars": of `others`}}.
    """
    rng = random.Random(seed)
    size = min(len(texts), len(others))
    ordered = sorted(texts)
    draws = [rng.sample(ordered, size) for _ in range(DRAWS)]
    table = {}
    for name, measure in MEASURES.items():
        values = sorted(map(measure, draws))
        low, high = values[round(0.025 * (DRAWS - 1))], values[round(0.975 * (DRAWS - 1))]
        table[name] = {"ours": statistics.fmean(values), "low": low, "high": high, "exemplars": measure(others[:size])}
    return table

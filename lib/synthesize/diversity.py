"""How varied a set of texts is, measured without a model: by its words and their sequences."""

import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from lib.core.records import Record

NGRAM = 4  # words in a sequence; BLEU's longest
DRAWS = 200


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


def sequences(text: str) -> list[tuple[str, ...]]:
    """Return all runs of four words of a text, in their order."""
    found = words(text)
    return [tuple(found[place : place + NGRAM]) for place in range(len(found) - NGRAM + 1)]


def single(texts: Sequence[str]) -> float:
    """Return the share of the four-word sequences, from 0 to 1, that occur only once in all the texts."""
    counts = Counter(sequence for text in texts for sequence in sequences(text))
    return sum(count == 1 for count in counts.values()) / max(counts.total(), 1)


def entropy(texts: Sequence[str]) -> float:
    """Return the Shannon entropy of the distribution of single words, in bits."""
    counts = Counter(word for text in texts for word in words(text))
    return sum(-count / counts.total() * math.log2(count / counts.total()) for count in counts.values())


def shared(texts: Sequence[str]) -> float:
    """Return the mean share of a text's four-word sequences, from 0 to 1, that another of the texts has, too."""
    sets = [set(sequences(text)) for text in texts]
    holders = Counter(sequence for found in sets for sequence in found)
    shares = [sum(holders[sequence] > 1 for sequence in found) / len(found) for found in sets if found]
    return statistics.fmean(shares) if shares else 0.0


MEASURES: dict[str, Callable[[Sequence[str]], float]] = {
    "four-word sequences that occur once": single,
    "entropy of words (bits)": entropy,
    "four-word sequences shared with another text": shared,
}


def beside(texts: Sequence[str], others: Sequence[str], seed: int) -> dict[str, Record]:
    """Measure random sets of `texts`, each as large as `others`, beside `others`: all measures grow with size.

    Returns {measure: {"ours": mean of 200 sets, "low", "high": the middle 95 % of them, "exemplars": of `others`}}.
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

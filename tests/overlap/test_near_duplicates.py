"""Near-duplicates: equal to brute force, few comparisons among texts that share boilerplate, and odd texts."""

import random
import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.records import StudyError
from lib.overlap import near_duplicates


def shingles(text: str) -> set[tuple[str, ...]]:
    """The definition, by words instead of hashes."""
    words = re.findall(r"\w+", text)
    return {tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4))}


def similarity(one: str, other: str) -> float:
    mine, theirs = shingles(one), shingles(other)
    return len(mine & theirs) / len(mine | theirs)


def brute(texts: Mapping[str, str], threshold: float = 0.5) -> dict[str, str]:
    """The definition, by comparing all pairs."""
    kept: list[str] = []
    dropped: dict[str, str] = {}
    for key in sorted(texts):
        alike = next((other for other in kept if similarity(texts[key], texts[other]) >= threshold), None)
        if alike is None:
            kept.append(key)
        else:
            dropped[key] = alike
    return dropped


def variant(base: int, start: int, tail: int) -> str:
    """A text of 100 words that differs from its base in the first `start` and the last `tail` of them."""
    words = [f"w{base}_{place}" for place in range(100)]
    words[:start] = [f"start{start}_{base}_{place}" for place in range(start)]
    words[100 - tail :] = [f"tail{tail}_{place}" for place in range(tail)]
    return " ".join(words)


variants = st.builds(variant, st.integers(0, 3), st.integers(0, 90), st.integers(0, 9))
thresholds = st.sampled_from([0.01, 0.3, 0.5, 2 / 3, 0.7, 0.9, 1.0])
keys = st.text(max_size=6)
loose = st.lists(st.sampled_from(["x", "y", "zé", "_"]), max_size=12).map(" ".join) | st.text(max_size=40)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, variants | loose, max_size=40), thresholds, st.randoms(use_true_random=False))
def test_the_result_is_that_of_brute_force_in_any_order(
    texts: dict[str, str], threshold: float, rng: random.Random
) -> None:
    dropped = near_duplicates.near_duplicates(texts, threshold)
    assert dropped == brute(texts, threshold)
    shuffled = rng.sample(sorted(texts), len(texts))
    assert near_duplicates.near_duplicates({key: texts[key] for key in shuffled}, threshold) == dropped


def pair(shared: int, own: int, other: int) -> dict[str, str]:
    """Two texts that have `shared` shingles in common; the first has `own` more, the second `other`."""
    common = [f"c{place}" for place in range(shared + 4)]
    ends = [f"a{place}" for place in range(own)], [f"b{place}" for place in range(other)]
    return {key: " ".join(common + end) for key, end in zip("ab", ends, strict=True)}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10, 99, 100, 300])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_pairs_at_the_threshold_are_found_and_those_below_are_not(size: int, threshold: float) -> None:
    union = next(union for union in range(10 * size, 0, -1) if size / union >= threshold)
    for own in {0, (union - size) // 2, union - size}:
        assert near_duplicates.near_duplicates(pair(size, own, union - size - own), threshold) == {"b": "a"}
        assert near_duplicates.near_duplicates(pair(size, own, union - size - own + 1), threshold) == {}


def test_the_threshold_is_the_paper_s() -> None:
    assert near_duplicates.near_duplicates(pair(10, 5, 5)) == {"b": "a"}
    assert near_duplicates.near_duplicates(pair(10, 5, 6)) == {}


@pytest.mark.parametrize("shared", [30, 60, 75])
def test_texts_that_share_boilerplate_are_not_compared_with_each_other(
    shared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their similarities are 0.16, 0.41 and 0.59; the last ones are all near-duplicates of the first text."""
    texts = {f"{n:03d}": variant(n, 0, 0) + " " + variant(999, 0, 0) for n in range(200)}
    texts = {key: " ".join(text.split()[shared : 100 + shared]) for key, text in texts.items()}
    compared = []
    jaccard = near_duplicates.jaccard
    monkeypatch.setattr(near_duplicates, "jaccard", lambda a, b: compared.append(1) or jaccard(a, b))
    dropped = near_duplicates.near_duplicates(texts)
    assert len(dropped) == (199 if shared == 75 else 0) and dropped == brute(texts)
    assert len(compared) <= len(texts)


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 1.01, 2.0, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(StudyError, match="above 0, at most 1"):
        near_duplicates.near_duplicates({}, threshold)


@pytest.mark.parametrize(
    ("texts", "threshold", "dropped"),
    [
        ({}, 0.5, {}),
        ({"a": ""}, 0.5, {}),
        ({"b": "", "a": " \n", "c": "(!)"}, 0.5, {"b": "a", "c": "a"}),  # no words: the same set
        ({"b": "x", "a": "x", "c": ""}, 0.5, {"b": "a"}),
        ({"a": "x", "b": "x x", "c": "x x x x x"}, 0.5, {}),  # texts shorter than a shingle are one shingle
        ({"a": "x y z", "b": "x, y; z", "c": "x z y"}, 0.5, {"b": "a"}),
        ({"a": "p q r s t u", "b": "p q r s t u v"}, 1.0, {}),
        ({"a": "p q r s t u", "b": "p q r s t u v"}, 0.5, {"b": "a"}),
        ({"a": "p q r s t " * 9, "b": "p q r s t " * 2}, 1.0, {"b": "a"}),  # a set: repeats do not count
        ({"a": "größe 数 \U0001d7d9 é", "b": "größe, 数 \U0001d7d9 é", "c": "gro\u0308ße 数"}, 0.5, {"b": "a"}),
        ({"a": "one two three four five six seven", "b": "one two three four five six other words here"}, 0.5, {}),
        ({"a": "\ud800 x", "b": "\0x"}, 0.5, {"b": "a"}),
        ({"a": "Case x", "b": "case x"}, 0.5, {}),
    ],
)
def test_odd_texts(texts: dict[str, str], threshold: float, dropped: dict[str, str]) -> None:
    assert near_duplicates.near_duplicates(texts, threshold) == dropped == brute(texts, threshold)


def test_a_large_group_is_compared_with_its_first_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    bases = {f"{n:05d}": n if n % 5 == 0 else n % 7 for n in range(2001)}
    texts = {key: variant(base, 0, int(key) % 4) for key, base in bases.items()}
    first = {base: key for key, base in reversed(bases.items())}
    compared = []
    jaccard = near_duplicates.jaccard
    monkeypatch.setattr(near_duplicates, "jaccard", lambda a, b: compared.append(1) or jaccard(a, b))
    dropped = near_duplicates.near_duplicates(texts)
    assert dropped == {key: first[base] for key, base in bases.items() if key != first[base]}
    assert len(compared) <= len(texts)


@pytest.mark.parametrize("ids", [("b", "a"), ("a", "a")])
def test_a_stream_out_of_order_is_refused(ids: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="rising order"):
        near_duplicates.scan((key, "some text") for key in ids)

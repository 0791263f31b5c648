"""Near-duplicates: the keep-rule against brute force, the stated recall, and texts that are odd."""

import random
import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.records import StudyError
from lib.overlap import near_duplicates


def shingles(text: str) -> set[tuple[str, ...]]:
    """The definition, with words instead of hashes."""
    words = re.findall(r"\w+", text)
    return {tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4))}


def similarity(one: str, other: str) -> float:
    mine, theirs = shingles(one), shingles(other)
    return len(mine & theirs) / len(mine | theirs)


def brute(texts: Mapping[str, str], threshold: float = 0.5) -> dict[str, str]:
    """The keep-rule by comparing all pairs."""
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
    """A text of 100 words: `start` at its start and `tail` at its end are not those of its base."""
    words = [f"w{base}_{place}" for place in range(100)]
    words[:start] = [f"start{start}_{base}_{place}" for place in range(start)]
    words[100 - tail :] = [f"tail{tail}_{place}" for place in range(tail)]
    return " ".join(words)


# Two texts share nothing, at most 46 of 146 shingles, or at least 93 of 99: then a miss has odds of 10^-30.
variants = st.builds(variant, st.integers(0, 3), st.sampled_from([0, 50, 95]), st.integers(0, 3))
keys = st.text(max_size=6)
loose = st.lists(st.sampled_from(["x", "y", "zé", "_"]), max_size=12).map(" ".join) | st.text(max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(keys, variants, max_size=40), st.randoms(use_true_random=False))
def test_the_keep_rule_is_that_of_brute_force_in_any_order(texts: dict[str, str], rng: random.Random) -> None:
    dropped = near_duplicates.near_duplicates(texts)
    assert dropped == brute(texts)
    shuffled = rng.sample(sorted(texts), len(texts))
    assert near_duplicates.near_duplicates({key: texts[key] for key in shuffled}) == dropped


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, loose, max_size=40), st.sampled_from([0.3, 0.5, 0.7, 1.0]))
def test_whatever_is_dropped_resembles_a_kept_one_before_it(texts: dict[str, str], threshold: float) -> None:
    dropped = near_duplicates.near_duplicates(texts, threshold)
    for key, other in dropped.items():
        assert other < key and other not in dropped
        assert similarity(texts[key], texts[other]) >= threshold
    kept = [shingles(text) for key, text in texts.items() if key not in dropped]
    assert all(one != other for place, one in enumerate(kept) for other in kept[:place]), "equal sets, both kept"


@pytest.mark.parametrize("shared", [3, 40, 400])
def test_pairs_exactly_at_the_threshold_are_found_as_often_as_stated(shared: int) -> None:
    texts = {}
    for n in range(500):  # `shared` shingles in common, which are half of the two texts' shingles
        common = [f"c{n}_{place}" for place in range(shared + 4)]
        own = shared // 2
        texts[f"{n}a"] = " ".join(common + [f"a{n}_{place}" for place in range(own)])
        texts[f"{n}b"] = " ".join(common + [f"b{n}_{place}" for place in range(shared - own)])
    assert similarity(texts["7a"], texts["7b"]) == 0.5
    dropped = near_duplicates.near_duplicates(texts)
    assert set(dropped.items()) <= {(f"{n}b", f"{n}a") for n in range(500)}
    assert len(dropped) >= 0.98 * 500, "0.99 are expected at the least"


@pytest.mark.parametrize("threshold", [0.04, 0.1, 0.3, 0.5, 0.7, 0.85, 0.99, 1.0])
def test_banding_fits_the_signature_and_keeps_its_promise(threshold: float) -> None:
    bands, rows = near_duplicates.banding(threshold)
    assert bands * rows <= near_duplicates.SLOTS
    assert 1 - (1 - threshold**rows) ** bands >= 0.99


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.01, 1.01, 2.0, float("nan")])
def test_a_threshold_that_cannot_be_served_is_refused(threshold: float) -> None:
    with pytest.raises(StudyError, match="from 0.04 to 1"):
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
        ({"a": "p q r s t " * 9, "b": "p q r s t " * 2}, 1.0, {"b": "a"}),  # a set: how often does not count
        ({"a": "größe 数 \U0001d7d9 é", "b": "größe, 数 \U0001d7d9 é", "c": "gro\u0308ße 数"}, 0.5, {"b": "a"}),
        ({"a": "one two three four five six seven", "b": "one two three four five six other words here"}, 0.5, {}),
        ({"a": "\ud800 x", "b": "\0x"}, 0.5, {"b": "a"}),
        ({"a": "Case x", "b": "case x"}, 0.5, {}),
    ],
)
def test_odd_texts(texts: dict[str, str], threshold: float, dropped: dict[str, str]) -> None:
    assert near_duplicates.near_duplicates(texts, threshold) == dropped == brute(texts, threshold)


def test_large_groups_and_the_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    bases = {f"{n:05d}": n if n % 5 == 0 else n % 7 for n in range(20 * near_duplicates.BATCH + 1)}
    texts = {key: variant(base, 0, int(key) % 4) for key, base in bases.items()}
    first = {base: key for key, base in reversed(bases.items())}
    dropped = near_duplicates.near_duplicates(texts)
    assert dropped == {key: first[base] for key, base in bases.items() if key != first[base]}
    monkeypatch.setattr(near_duplicates, "BATCH", 33)
    assert near_duplicates.scan(iter(texts.items())) == dropped


@pytest.mark.parametrize("ids", [("b", "a"), ("a", "a")])
def test_a_stream_out_of_order_is_refused(ids: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="rising order"):
        near_duplicates.scan((key, "some text") for key in ids)

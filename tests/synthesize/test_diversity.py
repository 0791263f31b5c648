"""Diversity measures on texts whose values can be worked out by hand."""

import math

import pytest

from lib.synthesize import diversity

ONE, OTHER = "a b c d e", "a b c d x"  # n-grams: abcd, bcde and abcd, bcdx


def test_ngrams_are_of_words_in_lower_case():
    found = diversity.ngrams("Sort the LIST, in place!")
    assert found == [("sort", "the", "list", "in"), ("the", "list", "in", "place")]
    assert diversity.ngrams("too short") == []


def test_measures_by_hand():
    assert diversity.unique_ngrams([ONE, OTHER]) == 2 / 4
    assert diversity.shared_ngrams([ONE, OTHER]) == 1 / 2
    assert diversity.shared_ngrams([ONE, ONE]) == 1 and diversity.shared_ngrams([ONE, "v w x y z"]) == 0
    assert diversity.word_entropy(["a b", "c d"]) == 2 and diversity.word_entropy(["a a a a"]) == 0
    assert diversity.word_entropy(["a a b c"]) == pytest.approx(1.5)
    assert all(math.isfinite(measure([""])) for measure in diversity.MEASURES.values())


def test_a_varied_set_differs_from_a_monotonous_one():
    varied = [f"write f{n} that maps item{n} to value{n} by rule{n} now" for n in range(60)]
    same = ["write f that maps an item to a value by rule now"] * 60
    table = diversity.beside(varied, same[:20], seed=1)
    once, words, shared = table.values()
    assert once["ours"] > once["exemplars"] and words["ours"] > words["exemplars"]
    assert shared["ours"] < shared["exemplars"] == 1
    assert all(row["low"] <= row["ours"] <= row["high"] for row in table.values())
    assert table == diversity.beside(varied[::-1], same[:20], seed=1)

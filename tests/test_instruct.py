"""Prompts, decks and the checks between the three steps of Self-OSS-Instruct."""

from collections import Counter

import pytest

from lib import instruct
from lib.exemplars import Decks, load_exemplars, load_systems
from lib.records import StudyError, content_id

EXEMPLARS = load_exemplars()
SYSTEMS = load_systems()


def test_decks_are_seeded_ordered_samples_without_replacement():
    decks = Decks(EXEMPLARS, 8, 30, seed=1).drawn
    assert decks == Decks(EXEMPLARS, 8, 30, seed=1).drawn
    assert decks != Decks(EXEMPLARS, 8, 30, seed=2).drawn
    assert all(len({e.id for e in deck}) == 8 for deck in decks)
    assert len({tuple(e.id for e in deck) for deck in decks}) == 30
    assert Decks(EXEMPLARS, 8, 3, seed=1).drawn == decks[:3]  # more decks leave the first ones as they were
    with pytest.raises(StudyError, match="22 shots"):
        Decks(EXEMPLARS, 22, 1, seed=1)


def test_every_exemplar_is_shown_about_as_often_in_every_position():
    decks = Decks(EXEMPLARS, 8, 2100, seed=7).drawn
    for position in range(8):
        shown = Counter(deck[position].id for deck in decks)
        assert len(shown) == 21 and min(shown.values()) > 60 and max(shown.values()) < 145


def test_a_seeds_deck_does_not_depend_on_its_neighbours_and_decks_stay_together():
    decks = Decks(EXEMPLARS, 2, 4, seed=1)
    seeds = [{"id": content_id(n)} for n in range(40)]
    whole = {item["id"]: deck for deck, item in decks.deal("a", seeds)}
    part = {item["id"]: deck for deck, item in decks.deal("a", seeds[::3])}
    child = {item["id"]: deck for deck, item in decks.deal("b", [{"id": "x", "seed": seeds[0]["id"]}])}
    assert all(whole[identity] == deck for identity, deck in part.items())
    assert child["x"] == whole[seeds[0]["id"]]
    order = [decks.drawn.index(deck) for deck, _ in decks.deal("a", seeds)]
    assert order == sorted(order) and len(set(order)) == 4


def test_no_decks_means_a_fresh_draw_for_every_prompt():
    decks = Decks(EXEMPLARS, 8, 0, seed=1)
    seeds = [{"id": content_id(n)} for n in range(200)]
    draws = [tuple(e.id for e in deck) for step in "ab" for deck, _ in decks.deal(step, seeds)]
    assert len(set(draws)) == 400


def test_prompts_follow_the_newer_pipelines_layout():
    deck = Decks(EXEMPLARS, 2, 1, seed=3).draw(0)
    concepts = instruct.concepts_prompt(SYSTEMS["s->c"], deck, "def f(x):\n    return x")
    assert concepts.startswith(SYSTEMS["s->c"]) and concepts.endswith("```\n\n### Concepts")
    assert [line for line in concepts.splitlines() if line.startswith("## ")] == [f"## Example {n}" for n in (1, 2, 3)]
    task = instruct.instruction_prompt(SYSTEMS["c->i"], deck, "class implementation", "hard", ["recursion", "sets"])
    assert task.endswith(
        "### Properties\ncategory: class implementation\nlanguage: python\ndifficulty: hard\n"
        "concepts: recursion, sets\n\n### Task"
    )
    answer = instruct.response_prompt(SYSTEMS["i->r"], deck[:1], "Do it.")
    assert answer.endswith("<instruction>\nDo it.\n</instruction>\n\n<response>")
    assert f"{deck[0].response}\n</response>\n\n<tests>\n{deck[0].tests}\n</tests>" in answer
    assert deck[0].concepts[0] not in answer or deck[0].concepts[0] in deck[0].instruction + deck[0].response


def test_prompts_of_one_deck_share_everything_but_the_query():
    deck = Decks(EXEMPLARS, 8, 1, seed=3).draw(0)
    one, other = (instruct.concepts_prompt(SYSTEMS["s->c"], deck, code) for code in ("def f(): ...", "x = 1"))
    shared = next(n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    assert one[:shared].endswith("## Example 9\n### Snippet\n```python\n")


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        (" Recursion, memoization ,recursion,  list  slicing.\nmore", ["recursion", "memoization", "list slicing"]),
        ("a, b, c, d, e, f", ["a", "b", "c", "d", "e"]),
        ("dict.get(key), return value, sets", ["sets"]),
        ("this is a run-on sentence about many things, sets", ["sets"]),
        ("", []),
        (",,", []),
    ],
)
def test_concepts_are_cleaned(text, concepts):
    assert instruct.parse_concepts(text) == concepts


GOOD = "Write a function `f(items)` that returns the even numbers of a list in their order."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD, None),
        ("Write a profile of a list as a function that groups its numbers by size.", None),
        ("Write a function.", "shorter"),
        ("word " * 201, "longer"),
        (GOOD + "\n### Task\nanother", "runs on"),
        (GOOD.replace("a list", "a file"), "needs files"),
        (GOOD + " Read the numbers from stdin.", "needs files"),
    ],
)
def test_tasks_that_cannot_be_used_are_named(text, fault):
    found = instruct.instruction_fault(text, 200)
    assert found is None if fault is None else fault in str(found)


def test_properties_follow_their_weights_and_belong_to_the_parent():
    weights = {"function": 2, "class": 1, "program": 1}, {"easy": 1, "hard": 0}
    drawn = [instruct.draw_properties(5, str(n), *weights) for n in range(2000)]
    assert drawn == [instruct.draw_properties(5, str(n), *weights) for n in range(2000)]
    categories, difficulties = Counter(c for c, _ in drawn), Counter(d for _, d in drawn)
    assert 900 < categories["function"] < 1100 and 420 < categories["class"] < 580
    assert set(difficulties) == {"easy"}


def test_sampling_seeds_differ_by_step_parent_and_sample_and_fit_31_bits():
    seeds = {
        instruct.sampling_seed(1, step, parent, sample) for step in "ab" for parent in "xyz" for sample in range(50)
    }
    assert len(seeds) == 300 and all(0 <= seed < 2**31 for seed in seeds)

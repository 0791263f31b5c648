"""OSS-Instruct: windows of a document, the two sections of an answer, what is dropped and why, replayed answers."""

import random

import pytest

from lib.core.records import Journal, StudyError
from lib.generate.replay import Replay
from lib.overlap.contamination import Contamination
from lib.synthesize.exemplars import Decks, load_exemplars
from lib.synthesize.oss_instruct import SECTIONS, SYSTEM, WINDOW_LINES, ask, asked, fault, parsed, window
from lib.synthesize.self_oss_instruct import Sampling

DECKS = Decks(load_exemplars("terse"), 1, 2, seed=1)
SAMPLING = Sampling(0.0, 300, 5)
PROBLEM, SOLUTION = (
    "Write a function that sums what is even.",
    "It adds them.\n```python\ndef even(v):\n    return 2\n```",
)


def answer(problem: str = PROBLEM, solution: str = SOLUTION) -> str:
    return f"\n{problem}\n\n{SECTIONS[1]}\n{solution}"


def test_windows_are_drawn_evenly_over_lines_and_lengths() -> None:
    text = "\n".join(f"line {n}" for n in range(100))
    found = [window(text, seed) or "" for seed in range(3000)]
    whole = [each for each in found if not each.endswith("line 99")]  # a window may end with the document
    lengths = {len(each.splitlines()) for each in found}
    starts = {each.splitlines()[0] for each in found}
    assert (min(lengths), max(lengths)) == WINDOW_LINES == (1, 15) and len(starts) == 100
    assert 7 < sum(len(each.splitlines()) for each in whole) / len(whole) < 8.6
    assert window(text, 3) == window(text, 3) and all(each in text for each in found)
    assert window("", 0) is None and window("\n---\n", 1) is None


def test_the_prompt_shows_exemplars_and_ends_where_the_problem_begins() -> None:
    deck = DECKS.drawn[0]
    text = asked(deck, "x = 1")
    assert text.startswith(SYSTEM) and text.endswith(f"### Snippet\n```python\nx = 1\n```\n\n{SECTIONS[0]}")
    shown = f"{SECTIONS[0]}\n{deck[0].instruction}\n\n{SECTIONS[1]}\n{deck[0].response}"
    assert shown in text and "assert" not in deck[0].response


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        (answer(), (PROBLEM, SOLUTION)),
        (f"{SECTIONS[0]}\nA\n{SECTIONS[1]}\nB", ("A", "B")),
        ("**[problem description]**\nA\n## [SOLUTION]:\nB\n[Solution]\nC", ("A", "B\n[Solution]\nC")),
        ("A problem without an answer", None),
        (f"{SECTIONS[1]}\nB\n{SECTIONS[0]}\nA", None),
        (f"\n{SECTIONS[1]}\nB", None),
        (f"A\n{SECTIONS[1]}\n  ", None),
    ],
)
def test_an_answer_has_both_sections_in_order(text, pair) -> None:
    assert parsed(text) == pair


def test_a_problem_that_gives_its_solution_away_is_dropped() -> None:
    code = "```python\ndef even(v):\n\n    return 2\n```"
    assert fault(f"{PROBLEM}\n{code}", SOLUTION) == "the problem has the solution"
    assert fault(f"{PROBLEM}\n```python\neven([1, 2])\n```", SOLUTION) == ""
    assert fault("\ud800", SOLUTION) != ""


def recorded(tmp_path, texts: list[dict]) -> tuple[Journal, list[dict], Replay]:
    """A cache that has these completions of as many seeds, and the engine without a model that takes them from it."""
    seeds = [{"id": f"seed{n}", "code": each.get("code", f"value = {n}")} for n, each in enumerate(texts)]
    engine, cache = Replay("a revision"), Journal(tmp_path / "completions.jsonl")
    given = dict(zip((seed["id"] for seed in seeds), texts, strict=True))
    for deck, seed in DECKS.deal("oss-instruct", seeds):
        request = SAMPLING.request(asked(deck, seed["code"]), ("## Example",), "oss-instruct", seed["id"])
        facts = {"finish_reason": "stop", "tokens": 9, "prompt_tokens": 9, "cached_tokens": 0, "engine": "vllm 1"}
        cache.add(facts | given[seed["id"]] | {"id": request.id(engine.revision)})
    return cache, seeds, engine


def test_examples_and_the_reasons_of_those_that_are_none(tmp_path) -> None:
    benchmark = "from typing import List\n\n\ndef has_close_elements(numbers: List[float], threshold: float) -> bool:\n"
    benchmark += '    """ Check if in given list of numbers, are any two numbers closer to each other than\n'
    benchmark += "    given threshold.\n    >>> has_close_elements([1.0, 2.0, 3.0], 0.5)\n    False\n"
    texts = [
        {"text": answer()},
        {"text": answer(f" {PROBLEM} ", "Another.")},
        {"text": answer("Another task.", SOLUTION.replace("    ", "\t"))},
        {"text": "no sections"},
        {"text": answer(), "finish_reason": "length"},
        {"text": answer(f"Do it.\n{SOLUTION}", SOLUTION)},
        {"text": answer(f'{benchmark}    """', "Like this.")},
        {"text": answer("A task of its own.", "A solution of its own.")},
        {"text": answer("A task as good.", "A solution as good."), "code": "value  = 7"},
    ]
    cache, seeds, engine = recorded(tmp_path, texts)
    with cache:
        step = ask(engine, cache, DECKS, seeds, SAMPLING, Contamination())
    assert sum(step.reasons.values()) + len(step.records) == len(texts)
    assert step.reasons["same as an earlier one"] == 3 and step.reasons["not both sections"] == 1
    assert step.reasons["the problem has the solution"] == 1
    assert any(reason.endswith("exact") for reason in step.reasons)  # HumanEval 0, which EvalPerf has, too
    record = next(one for one in step.records if one["instruction"] in (PROBLEM, "Another task.", "A task as good."))
    assert record["seed"] in {seed["id"] for seed in seeds} and record["model"] == "a revision"
    assert record["exemplars"] and record["response"] and record["sampling_seed"] is not None
    order = random.Random(1).sample(seeds, len(seeds))
    with Journal(tmp_path / "completions.jsonl") as again:
        assert ask(engine, again, DECKS, order, SAMPLING, Contamination()).records == step.records


def test_what_leaves_nothing_says_why(tmp_path) -> None:
    cache, seeds, engine = recorded(tmp_path, [{"text": "no sections"}])
    with cache, pytest.raises(StudyError, match=r"no usable problem with a solution .*not both sections: 1"):
        ask(engine, cache, DECKS, seeds, SAMPLING, Contamination())

"""Prompts, decks and the checks between the three steps of Self-OSS-Instruct."""

import ast
import random
from collections import Counter

import pytest

from lib.core import markdown
from lib.core.records import Journal, Record, StudyError, content_id, write_records
from lib.generate import Request
from lib.generate.protocol import sampling_seed
from lib.synthesize import prompts
from lib.synthesize import self_oss_instruct as instruct
from lib.synthesize.exemplars import Decks, load_exemplars, load_systems, positions

EXEMPLARS = load_exemplars("full")
SYSTEMS = load_systems()
STYLES = ("fenced", "paper", "headers", "starcoder2")
FENCED, PAPER, HEADERS, OLDER = (prompts.style(name, SYSTEMS) for name in STYLES)
FREE = prompts.style("paper", SYSTEMS, restricted=False)


def test_decks_are_seeded_ordered_samples_without_replacement():
    decks = Decks(EXEMPLARS, 8, 30, seed=1).drawn
    assert decks == Decks(EXEMPLARS, 8, 30, seed=1).drawn
    assert decks != Decks(EXEMPLARS, 8, 30, seed=2).drawn
    assert all(len({e.id for e in deck}) == 8 for deck in decks)
    assert len({tuple(e.id for e in deck) for deck in decks}) == 30
    assert Decks(EXEMPLARS, 8, 3, seed=1).drawn == decks[:3]  # more decks leave the first ones as they were
    with pytest.raises(StudyError, match="22 shots"):
        Decks(EXEMPLARS, 22, 1, seed=1)


def test_as_many_decks_as_exemplars_show_each_once_in_every_position():
    for first in (0, 21):
        decks = Decks(EXEMPLARS, 8, first + 21, seed=7).drawn[first:]
        for position in range(8):
            assert len({deck[position].id for deck in decks}) == 21


def test_a_single_deck_is_any_ordered_sample():
    first, pairs = Counter(), Counter()
    for seed in range(2100):
        (deck,) = Decks(EXEMPLARS, 3, 1, seed).drawn
        first[deck[0].id] += 1
        pairs[deck[0].id < deck[2].id] += 1
    assert len(first) == 21 and min(first.values()) > 60 and max(first.values()) < 145
    assert 950 < pairs[True] < 1150


def test_positions_count_what_was_shown():
    decks = Decks(EXEMPLARS, 4, 21, seed=7)
    dealt = decks.deal("a", [{"id": content_id(n)} for n in range(300)])
    counts = positions(dealt, EXEMPLARS)
    assert counts.shape == (21, 4) and (counts.sum() == 300).all()
    assert counts.loc[dealt[0][0][2].id, 3] >= 1


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
    concepts = PAPER.concepts(deck, "    if x:\n        return x")
    assert concepts.startswith(SYSTEMS["s->c"])
    assert concepts.endswith("\n\n## Example 3\n### Snippet\n    if x:\n        return x\n\n### Concepts")
    assert f"## Example 1\n### Snippet\n{markdown.code_of(deck[0].snippet)}\n\n### Concepts\n" in concepts
    assert [line for line in concepts.splitlines() if line.startswith("## ")] == [f"## Example {n}" for n in (1, 2, 3)]
    task = PAPER.instruction(deck, "class implementation", "hard", ["recursion", "sets"])
    assert task.endswith(
        "### Properties\ncategory: class implementation\nlanguage: Python\ndifficulty: hard\n"
        "concepts: recursion, sets\n\n### Task"
    )
    answer = PAPER.response(deck[:1], "Do it.")
    assert answer.endswith("<instruction>\nDo it.\n</instruction>\n\n<response>")
    assert f"{deck[0].response}\n</response>\n\n<tests>\n{deck[0].tests}\n</tests>" in answer
    assert deck[0].concepts[0] not in answer or deck[0].concepts[0] in deck[0].instruction + deck[0].response
    direct = PAPER.inspired(deck, "x = 1")
    assert direct.startswith(SYSTEMS["s->i"]) and direct.endswith("### Snippet\nx = 1\n\n### Task")
    assert "```" not in concepts + direct and PAPER.list_stop == ("## Example",)


def test_the_first_line_of_a_snippet_keeps_its_indentation():
    cut = next(exemplar for exemplar in EXEMPLARS if exemplar.snippet.startswith("```python\n    "))
    assert "### Snippet\n    " in PAPER.concepts((cut,), "x")


def test_the_fenced_style_differs_in_fences_stop_and_language_alone():
    deck = Decks(EXEMPLARS, 2, 1, seed=3).draw(0)
    for ask in ("concepts", "inspired"):
        plain, fenced = (getattr(style, ask)(deck, "x = 1") for style in (PAPER, FENCED))
        assert fenced.count("```") == 2 * 3 and fenced.replace("```python\n", "").replace("\n```", "") == plain
    task = [style.instruction(deck, "class implementation", "hard", ["sets"]) for style in (PAPER, FENCED)]
    assert task[1] == task[0].replace("language: Python", "language: python") != task[0]
    assert FENCED.response(deck, "Do it.") == PAPER.response(deck, "Do it.")
    assert FENCED.list_stop == ("## Example", "\n\n") and FENCED.stop == PAPER.stop == HEADERS.stop


def test_numbered_headers_replace_the_tags():
    deck = Decks(EXEMPLARS, 2, 1, seed=3).draw(0)
    answer = HEADERS.response(deck, "Do it.")
    assert answer.startswith(SYSTEMS["headers i->r"])
    assert answer.endswith("### Instruction 3 \nDo it.\n\n### Response 3")
    assert f"### Response 2\n{deck[1].response}\n\n### Tests 2\n{deck[1].tests}\n\n" in answer
    assert "<response>" not in answer and "<tests>" not in answer
    assert HEADERS.concepts(deck, "x = 1") == PAPER.concepts(deck, "x = 1")


def test_the_older_pipelines_layout():
    responses = OLDER.answered(EXEMPLARS)
    assert len(responses) == 10 and PAPER.answered(EXEMPLARS) == EXEMPLARS
    assert all(exemplar.reasoning and exemplar.explanation for exemplar in responses)
    shown = next(exemplar for exemplar in EXEMPLARS if exemplar.category == "class implementation")
    task = OLDER.instruction((shown,), "function implementation", "easy", ["sets"])
    assert task.endswith(
        "### Property\ncategory: code generation (function implementation)\nlanguage: Python\nconcepts: sets\n"
        "difficulty: easy\n\n### Instruction"
    )
    assert "\ncategory: code generation (class implementation)\n" in task
    answer = OLDER.response(tuple(responses[:1]), "Do it.")
    marks = [line for line in answer.splitlines() if line.startswith(("[", "### "))]
    sections = ["[Reasoning]", "[Implementation]", "[Explanation]", "[Tests]"]
    assert marks == ["### Instruction", "### Response", *sections, "### Instruction", "### Response"]
    assert answer.startswith(SYSTEMS["starcoder2 i->r"])
    concepts = OLDER.concepts(tuple(EXEMPLARS[:1]), "x = 1")
    assert "```" not in concepts and OLDER.list_stop == OLDER.stop == ("## Example",)


@pytest.mark.parametrize("name", STYLES)
def test_without_the_restriction_no_system_text_forbids_anything(name):
    free, bound = (prompts.style(name, SYSTEMS, restricted).systems for restricted in (False, True))
    assert list(free) == list(bound) == ["s->c", "c->i", "i->r", "s->i"]
    assert all(free[step] == bound[step] for step in ("s->c", "i->r"))
    for step in ("c->i", "s->i"):
        assert "typed input" in bound[step] and "files" in bound[step]
        for word in ("file", "network", "input", "random", "librar", "pure function", "`main`"):
            assert word not in free[step]


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ('x = input()\n\nif __name__ == "__main__":\n    f()\ny = 1', "x = input()"),
        ("inputs = []\nif __name__ == '__main__':\n    f()", "inputs = []"),
        ('if __name__ == "__main__":\n    f(input())', ""),
        ('x = 1\nif __name__ == "__main__":\n    f()', 'x = 1\nif __name__ == "__main__":\n    f()'),
        ("x = input()", "x = input()"),
    ],
)
def test_a_block_that_speaks_of_input_ends_at_its_guard(code, left):
    assert prompts.before_guard(code) == PAPER.runs(code) == HEADERS.runs(code) == left
    assert FENCED.runs(code) == OLDER.runs(code) == code


def test_the_older_pipeline_runs_no_block_that_does_not_parse():
    assert OLDER.runs("def f(:") is None and PAPER.runs("def f(:") == "def f(:"


@pytest.mark.parametrize("exemplar", OLDER.answered(EXEMPLARS), ids=lambda exemplar: exemplar.id)
def test_every_style_reads_back_what_it_shows(exemplar):
    for style in (FENCED, PAPER, HEADERS, OLDER):
        shown = style.answers(exemplar, 1).removesuffix(prompts.TESTS_END)
        answer, tests = style.split(shown) or pytest.fail(style.name)
        assert markdown.code_of(answer) == markdown.code_of(exemplar.response)
        assert markdown.code_of(tests) == markdown.code_of(exemplar.tests)
        final = style.final(answer, random.Random(0))
        assert "[Implementation]" not in final and "assert" not in final
        code, shown = (ast.unparse(ast.parse(markdown.code_of(text))) for text in (final, exemplar.response))
        assert code == shown  # the older pipeline drops comments


CODE, TESTS = "```python\n# add\nx = 1\n```", "```python\nassert x\n```"
FENCES = "assert x == '''\n```python\n```\n''' + '```'"
SECTIONS = f"[Reasoning]\nWhy.\n\n[Implementation]\n{CODE}\n\n[Explanation]\nHow.\n\n[Tests]\n{TESTS}"


@pytest.mark.parametrize(
    ("style", "text", "parts"),
    [
        (PAPER, f"A\n</response>\n\n<tests>\n{TESTS}", ("A", TESTS)),
        (PAPER, f"A\n{TESTS}", None),
        (PAPER, f"A\n</response>\n<tests>\n{TESTS}", None),
        (FENCED, f"A\n</response>\n<tests>\n{TESTS}", ("A", TESTS)),
        (FENCED, f"A\n</response> <tests>{TESTS}", ("A", TESTS)),
        (FENCED, "A\n</response>\n<tests>\nB\n</response>\n<tests>\nC", None),
        (PAPER, "A\n</response>\n\n<tests>\nB\n</response>\n\n<tests>\nC", None),
        (HEADERS, f"A\n\n### Tests 2\n{TESTS}", ("A", TESTS)),
        (HEADERS, "A\n### Tests 2\nB\n### Tests 3\nC", None),
        (HEADERS, "A ### Tests 2", None),
        (HEADERS, f"A\n\n### Tests\n{TESTS}", None),
        (HEADERS, f"A\n\nTo verify the correctness, run:\n{TESTS}", ("A", f"To verify the correctness, run:\n{TESTS}")),
        (HEADERS, f"To test the\nA\nWe can test this:\n{TESTS}", ("", f"To test the\nA\nWe can test this:\n{TESTS}")),
        (HEADERS, f"We can test this. To test the A:\n{TESTS}", ("We can test this.", f"To test the A:\n{TESTS}")),
        (HEADERS, f"We can test the code.\n### Tests 2\n{TESTS}", ("We can test the code.", TESTS)),
        (OLDER, SECTIONS, (SECTIONS.split("\n\n[Tests]")[0], TESTS)),
        (OLDER, SECTIONS + "\nThis runs them.", (SECTIONS.split("\n\n[Tests]")[0], TESTS)),
        (
            OLDER,
            SECTIONS.replace("assert x", FENCES),
            (SECTIONS.split("\n\n[Tests]")[0], TESTS.replace("assert x", FENCES)),
        ),
        (OLDER, SECTIONS.replace("[Explanation]\nHow.\n\n", ""), None),
        (OLDER, SECTIONS + "\n[Tests]\n", None),
        (OLDER, SECTIONS + "\n```python\ny\n```", None),
        (OLDER, SECTIONS.replace(TESTS, "None."), None),
        (OLDER, SECTIONS.replace(CODE, "See above.").replace("Why.", CODE), None),
    ],
)
def test_responses_are_split_or_refused(style, text, parts):
    assert style.split(text) == parts


def test_the_older_pipeline_keeps_prose_by_chance_and_no_comments():
    answer, _ = OLDER.split(SECTIONS) or ("", "")
    finals = Counter(OLDER.final(answer, random.Random(seed)) for seed in range(400))
    code = "```python\nx = 1\n```"
    assert set(finals) == {code, f"Why.\n\n{code}", f"{code}\n\nHow.", f"Why.\n\n{code}\n\nHow."}
    assert all(60 < count < 140 for count in finals.values())


def test_the_older_pipeline_shows_the_tests_last_where_the_task_speaks_of_them():
    answer, _ = OLDER.split(SECTIONS) or ("", "")
    for seed in range(20):
        final = OLDER.final(answer, random.Random(seed), "# one\nassert x")
        assert final == OLDER.final(answer, random.Random(seed)) + "\n\n" + TESTS
    assert PAPER.final("A", random.Random(0), "assert x") == "A"


def test_a_line_of_a_string_that_looks_like_a_comment_stays():
    code = 'def f():\n    # a comment\n    return """\n# a title\n"""'
    answer = SECTIONS.replace(CODE, f"```python\n{code}\n```").split("\n\n[Tests]")[0]
    kept = markdown.code_of(OLDER.final(answer, random.Random(0)))
    assert kept == code  # the comment, too: lines are cut only where nothing else changes
    plain = SECTIONS.replace(CODE, "```python\nx = 1\n# a comment\ny = '\0'\n```").split("\n\n[Tests]")[0]
    assert "# a comment" in OLDER.final(plain, random.Random(0))  # does not parse


@pytest.mark.parametrize("fence", ["```", "````", "~~~"])
def test_the_older_pipeline_cuts_comments_of_code_with_fences_in_strings(fence):
    code = "# A comment.\ndef f(x):\n    return '''\n```python\n''' + x\n"
    answer = SECTIONS.replace(CODE, f"{markdown.fenced(code, fence)} or {CODE}").split("\n\n[Tests]")[0]
    bare = markdown.fenced(code.removeprefix("# A comment.\n"), fence)
    assert f"{bare} or {CODE}" in OLDER.final(answer, random.Random(0))


def test_an_unknown_style_is_named():
    with pytest.raises(StudyError, match="PROMPTS='xml' is unknown; choose fenced, paper, headers or starcoder2"):
        prompts.style("xml", SYSTEMS)


def test_prompts_of_one_deck_share_everything_but_the_query():
    deck = Decks(EXEMPLARS, 8, 1, seed=3).draw(0)
    for style, start in ((PAPER, ""), (FENCED, "```python\n")):
        one, other = (style.concepts(deck, code) for code in ("def f(): ...", "x = 1"))
        shared = next(n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
        assert one[:shared].endswith(f"## Example 9\n### Snippet\n{start}")


def test_properties_follow_their_weights_and_belong_to_the_parent():
    weights = {"function": 2, "class": 1, "program": 1}, {"easy": 1, "hard": 0}
    drawn = [instruct.draw_properties(5, str(n), *weights) for n in range(2000)]
    assert drawn == [instruct.draw_properties(5, str(n), *weights) for n in range(2000)]
    categories, difficulties = Counter(c for c, _ in drawn), Counter(d for _, d in drawn)
    assert 900 < categories["function"] < 1100 and 420 < categories["class"] < 580
    assert set(difficulties) == {"easy"}


def test_sampling_seeds_differ_by_step_parent_and_sample_and_fit_31_bits():
    seeds = {sampling_seed(1, step, parent, sample) for step in "ab" for parent in "xyz" for sample in range(50)}
    assert len(seeds) == 300 and all(0 <= seed < 2**31 for seed in seeds)


class Scripted:
    """An engine that answers by `answer(request)`: (text, finish_reason)."""

    revision, version = "r1", "scripted"

    def __init__(self, answer):
        self.answer = answer

    def load(self): ...

    def close(self): ...

    def count_tokens(self, text):
        return len(text)

    def generate(self, requests):
        for place, request in enumerate(requests):
            text, reason = self.answer(request)
            facts = {"finish_reason": reason, "prompt_tokens": 9, "cached_tokens": 0, "tokens": 5}
            yield place, {"text": text, **facts}


GOOD = "Write a function `f(items)` that returns the even numbers of a list in their order."
SEEDS = [{"id": name, "code": f"def {name}(x):\n    return x"} for name in "ab"]


def task(number: int) -> Record:
    return {"id": content_id("task", number), "seed": content_id("seed", number), "instruction": f"Do number {number}."}


def test_cut_off_responses_are_counted_and_the_rest_written_in_order(tmp_path):
    engine = Scripted(lambda request: (f"seed {request.seed}", "length" if request.sample == 2 else "stop"))
    tasks = [task(number) for number in range(7)]
    sampling = instruct.Sampling(0.7, 50, 1)
    with Journal(tmp_path / "cache.jsonl") as cache:
        step = instruct.ask_responses(engine, cache, PAPER, Decks(EXEMPLARS, 1, 3, 1), tasks, sampling, 3)
        write_records(tmp_path / "responses.jsonl", step.records)
        records = list(step.records)
    assert step.reasons == {"cut off at the token limit": 7} and len(records) == 14
    assert {(record["parent"], record["sample"]) for record in records} == {(t["id"], n) for t in tasks for n in (0, 1)}
    for record in records:
        assert record["text"] == f"seed {record['sampling_seed']}"
        assert record["seed"] == next(t["seed"] for t in tasks if t["id"] == record["parent"])
        assert record["model"] == "r1" and record["engine"] == "scripted" and len(record["exemplars"]) == 1


def test_responses_that_utf8_cannot_hold_are_counted(tmp_path):
    engine = Scripted(lambda request: ("half \ud83d" if request.sample else "whole 😀", "stop"))
    with Journal(tmp_path / "cache.jsonl") as cache:
        decks, sampling = Decks(EXEMPLARS, 1, 3, 1), instruct.Sampling(0.7, 50, 1)
        step = instruct.ask_responses(engine, cache, PAPER, decks, [task(1), task(2)], sampling, 3)
        assert [record["text"] for record in step.records] == ["whole 😀"] * 2
    assert step.reasons == {"text that UTF-8 cannot hold": 4}


def test_tasks_straight_from_seeds_have_no_properties(tmp_path):
    seen: list[Request] = []
    engine = Scripted(lambda request: seen.append(request) or (GOOD + f" Add {len(seen)}.", "stop"))
    seeds = [{"id": content_id(n), "code": f"def f{n}(x):\n    return x"} for n in range(4)]
    sampling = instruct.Sampling(0.7, 50, 1)
    with Journal(tmp_path / "cache.jsonl") as cache:
        step = instruct.ask_direct(engine, cache, PAPER, Decks(EXEMPLARS, 8, 2, 1), seeds, sampling, 90)
    assert all(request.prompt.startswith(SYSTEMS["s->i"]) and "difficulty:" not in request.prompt for request in seen)
    assert {record["seed"] for record in step.records} == {record["parent"] for record in step.records}
    assert {(record["category"], record["difficulty"]) for record in step.records} == {instruct.UNDRAWN}


@pytest.mark.parametrize("direct", [False, True])
def test_a_seed_that_overflows_the_window_is_counted_and_never_asked_about(tmp_path, direct):
    seen: list[Request] = []
    engine = Scripted(lambda request: seen.append(request) or ("sets, sums" if not direct else GOOD, "stop"))
    seeds = [
        {"id": "a", "code": "1" * instruct.SNIPPET_TOKENS},
        {"id": "b", "code": "1" * (instruct.SNIPPET_TOKENS + 1)},
    ]
    deal, sampling = Decks(EXEMPLARS, 8, 2, 1), instruct.Sampling(0.7, 50, 1)
    with Journal(tmp_path / "cache.jsonl") as cache:
        if direct:
            step = instruct.ask_direct(engine, cache, PAPER, deal, seeds, sampling, 90)
        else:
            step = instruct.ask_concepts(engine, cache, PAPER, deal, seeds, sampling)
    assert [record["seed"] for record in step.records] == ["a"] and len(seen) == 1
    assert step.reasons == {"perhaps too long for the model's window": 1}


def test_a_requests_seed_belongs_to_its_step_and_parent(tmp_path):
    seen: list[Request] = []
    engine = Scripted(lambda request: seen.append(request) or ("sets, sums" if len(seen) == 1 else GOOD, "stop"))
    deal, sampling = Decks(EXEMPLARS, 1, 1, 1), instruct.Sampling(0.7, 50, 9)
    seeds = [{"id": "a", "code": "def f(x):\n    return x"}]
    with Journal(tmp_path / "cache.jsonl") as cache:
        concepts = instruct.ask_concepts(engine, cache, PAPER, deal, seeds, sampling)
        weights = {"function": 1}, {"easy": 1}
        tasks = instruct.ask_instructions(engine, cache, PAPER, deal, concepts.records, sampling, weights, 90)
        instruct.ask_responses(engine, cache, PAPER, deal, tasks.records, sampling, 1)
    (task,) = tasks.records
    keys = [("concepts", "a"), ("instruction", concepts.records[0]["id"]), ("response", task["id"])]
    assert [request.seed for request in seen] == [sampling_seed(9, *key) for key in keys]
    assert (task["category"], task["difficulty"]) == ("function", "easy")


def test_a_concept_that_may_be_half_a_word_is_left_out(tmp_path):
    engine = Scripted(lambda request: ("sets, sums, dynamic pro", "length"))
    with Journal(tmp_path / "cache.jsonl") as cache:
        seeds = [{"id": "a", "code": "def f(x):\n    return x"}]
        step = instruct.ask_concepts(engine, cache, PAPER, Decks(EXEMPLARS, 8, 2, 1), seeds, instruct.Sampling(0, 9, 1))
    assert step.records[0]["concepts"] == ["sets", "sums"] and step.notes == {"cut off at the token limit": 1}


def test_the_papers_way_keeps_every_concept_and_drops_lists_that_are_cut_off(tmp_path):
    seen: list[Request] = []
    answers = {1: ("Sets, f(x),\nSets, ", "stop"), 2: ("sets, sums, dynamic pro", "length")}
    engine = Scripted(lambda request: seen.append(request) or answers[len(seen)])
    with Journal(tmp_path / "cache.jsonl") as cache:
        deal, sampling = Decks(EXEMPLARS, 8, 2, 1), instruct.Sampling(0.7, 9, 1)
        step = instruct.ask_concepts(engine, cache, FREE, deal, SEEDS, sampling)
    assert [request.stop for request in seen] == [("## Example",)] * 2
    assert [record["concepts"] for record in step.records] == [["Sets", "f(x)", "Sets", ""]]
    assert step.reasons == {"cut off at the token limit": 1} and not step.notes


def test_concepts_that_utf8_cannot_hold_are_counted_in_the_papers_way_too(tmp_path):
    engine = Scripted(lambda request: ("half \ud83d a smile" if "def a" in request.prompt[-60:] else "sets", "stop"))
    with Journal(tmp_path / "cache.jsonl") as cache:
        deal, sampling = Decks(EXEMPLARS, 8, 2, 1), instruct.Sampling(0.7, 9, 1)
        step = instruct.ask_concepts(engine, cache, FREE, deal, SEEDS, sampling)
    assert [record["seed"] for record in step.records] == ["b"] and step.reasons == {"text that UTF-8 cannot hold": 1}


@pytest.mark.parametrize(("style", "kept", "reason"), [(PAPER, 1, "same as an earlier one"), (FREE, 2, "")])
def test_the_papers_way_leaves_repeated_tasks_to_the_selection(style, kept, reason, tmp_path):
    engine = Scripted(lambda request: (GOOD, "stop"))
    with Journal(tmp_path / "cache.jsonl") as cache:
        sampling = instruct.Sampling(0.7, 50, 1)
        step = instruct.ask_direct(engine, cache, style, Decks(EXEMPLARS, 8, 2, 1), SEEDS, sampling, 90)
    assert len(step.records) == kept and step.reasons == ({reason: 1} if reason else {})


def test_the_papers_way_asks_for_any_task_and_takes_it(tmp_path):
    seen: list[Request] = []
    engine = Scripted(lambda request: seen.append(request) or ("Read a file.", "stop"))
    parents = [{"id": "b", "seed": "a", "concepts": ["sets"]}]
    weights = {"function": 1}, {"easy": 1}
    with Journal(tmp_path / "cache.jsonl") as cache:
        sampling = instruct.Sampling(0.7, 50, 1)
        step = instruct.ask_instructions(engine, cache, FREE, Decks(EXEMPLARS, 1, 1, 1), parents, sampling, weights, 0)
    assert [record["instruction"] for record in step.records] == ["Read a file."]
    assert seen[0].prompt.startswith(SYSTEMS["c->i unrestricted"])


def test_a_step_without_records_names_the_reasons(tmp_path):
    engine = Scripted(lambda request: ("", "stop"))
    seeds = [{"id": "a", "code": "def f(x):\n    return x"}]
    with Journal(tmp_path / "cache.jsonl") as cache, pytest.raises(StudyError, match="fewer than two.*: 1"):
        instruct.ask_concepts(engine, cache, PAPER, Decks(EXEMPLARS, 8, 2, 1), seeds, instruct.Sampling(0.7, 9, 1))


def test_same_twice_sees_what_differs(tmp_path):
    engine = Scripted(lambda request: (f"{request.sample if request.seed == 3 else 0}", "stop"))
    requests = [Request(f"p{n}", 0.7, 9, ("x",), seed=n) for n in range(5)]
    with Journal(tmp_path / "cache.jsonl") as cache:
        assert instruct.same_twice(engine, cache, requests, batch=2) == {"asked twice": 5, "same text": 4}

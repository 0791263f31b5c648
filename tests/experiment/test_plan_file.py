"""The plan: the committed one can be read, contradictions and typing errors are refused in one line, values go in."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lib.core.records import StudyError
from lib.evaluate.claims import read_claims
from lib.experiment.plan import Cell
from lib.experiment.plan_file import PLAN, fill, read_plan


def test_the_committed_plan_is_sound_and_asks_beforehand() -> None:
    plan = read_plan()
    assert all(question.expectation and question.conclude.inconclusive for question in plan.questions)
    assert {question.paper.source[:7] for question in plan.questions if question.paper} == {"Table 9", "Tables "}
    assert len(plan.cells()) <= 6 and len({arm.name for arm in plan.cells().values()}) == len(plan.cells())
    assert all(not arm.scoring.benchmarks for arm in plan.cells().values()), "chosen on a benchmark"
    assert plan.questions[0].problems == 164 + 378


def test_the_baselines_stand_on_the_plan_with_its_budget_and_their_own_questions() -> None:
    plan, below = read_plan(PLAN.with_name("baselines.yaml")), read_plan()
    assert (plan.budget, plan.scoring, plan.grid, plan.pools) == (below.budget, below.scoring, below.grid, below.pools)
    assert plan.arms["passing"].seeds == (1, 2) and plan.arms["failing"] == below.arms["failing"]
    assert {question.paper.source[:8] for question in plan.questions if question.paper} == {"Table 11"}
    assert {question.worse for question in plan.questions} == set(plan.made) and plan.tasks["own"].like == "passing"
    (first, *_), (theirs, *_) = plan.select(["passing"]), below.select(["passing"])
    assert first == theirs, "the arm is no longer the recorded one"


def test_the_ablations_stand_on_the_plan_and_change_no_arm_of_it() -> None:
    """Their arms have pools and data sets of their own, or share those of the plan: what is recorded stays as it is."""
    plan, below = read_plan(PLAN.with_name("ablations.yaml")), read_plan()
    assert (plan.budget, plan.scoring, plan.validation, plan.controls) == (
        below.budget, below.scoring, below.validation, below.controls,
    )  # fmt: skip
    assert plan.arms.items() - below.arms.items() and plan.pools == below.pools
    for name, line in below.arms.items():
        assert replace(plan.arms[name], seeds=line.seeds) == line
    claims = {claim["id"]: claim for claim in read_claims()["claims"]}
    for question in plan.questions:
        pairs = [(value["better"], value["worse"]) for value in claims[question.id]["values"]]
        assert (question.paper.better, question.paper.worse) in pairs, question.id


@pytest.mark.parametrize(
    ("below", "above", "said"),
    [
        ({"stands_on": "plan.yaml"}, {}, "may stand on one other only"),
        ({"arms": []}, {}, "arms must be dict"),
        ({}, {"made": []}, "made must be dict"),
        ({}, {"stands_on": "other/plan.yaml"}, "plan.yaml is missing"),
    ],
)
def test_what_a_plan_stands_on_must_be_one(plan_text, tmp_path, below, above, said) -> None:
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan_text | below))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"stands_on": "plan.yaml"} | above))
    with pytest.raises(StudyError, match=said):
        read_plan(tmp_path / "mine.yaml")


def written(path: Path, plan: dict, place: str, value: object) -> Path:
    """A plan with one value changed (place: names and numbers, with dots), or left out (None)."""
    *outer, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner = plan
    for part in outer:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("budgets", {}, "the plan has no budgets; it has base, seed"),
        ("scoring.samples", None, "scoring lacks samples"),
        ("arms.passing.seed", 1, "arms: passing has no seed"),
        ("scoring.samples", "2", "samples must be int"),
        ("scoring.temperature", -0.1, "temperature must not be negative"),
        ("scoring.temperature", float("nan"), "must be finite, not nan"),
        ("scoring.temperature", 0.0, "several samples need a temperature above 0"),
        ("budget.training.batch", 2.5, "batch must be int"),
        ("arms.passing", None, "there is no arm passing"),
        ("controls.negative", "shuffle", "there is no arm shuffle"),
        ("arms.passing.recipe", "ful", "recipe 'ful' is none of pools"),
        ("arms.passing.tasks", "three", "tasks 'three' is none of tasks"),
        ("arms.passing.selection", "passed", "selection passed is unknown"),
        ("arms.passing.selection", "made", "recipe 'full' is none of made"),
        ("tasks.one.like", "passing", "must say which arm they are like where selection is made, and nowhere else"),
        ("stands_on", "nowhere.yaml", "nowhere.yaml is missing"),
        ("arms.passing.seeds", [1, 1], "different numbers"),
        ("arms.passing.seeds", [1, 2, 3], "seeds is 2, but its arms have 2, 3"),
        ("questions.0.samples", 3, "samples is 3, but scoring has 2"),
        ("questions.1.id", "first", "question first is there twice"),
        ("grid.arm", "passing", "is compared, too"),
        ("grid.epochs", [1, 2, 3, 4], "1 to 6 cells"),
        ("arms", [1], "arms must be dict"),
    ],
)
def test_a_fault_is_said_in_one_line_with_the_file(plan_text, tmp_path, place, value, said) -> None:
    with pytest.raises(StudyError) as error:
        read_plan(written(tmp_path / "plan.yaml", plan_text, place, value))
    assert said in str(error.value) and "plan.yaml" in str(error.value) and "\n" not in str(error.value)


def test_a_name_written_twice_is_refused_and_a_missing_file_too(plan_file) -> None:
    plan_file.write_text(plan_file.read_text() + "seed: 2\n")
    with pytest.raises(StudyError, match="seed is written twice"):
        read_plan(plan_file)
    with pytest.raises(StudyError, match="is missing"):
        read_plan(plan_file.with_name("other.yaml"))


def test_trained_arms_wait_for_the_grid_s_choice(plan_file) -> None:
    plan = read_plan(plan_file)
    assert [(arm.name, arm.seed) for arm in plan.select()] == [("tuning-0.001-1", 5), ("tuning-0.01-1", 5), ("none", 1)]
    with pytest.raises(StudyError, match="passing needs a chosen cell"):
        plan.select(["passing"])
    with pytest.raises(StudyError, match="no arm passed; choose from grid, passing"):
        plan.select(["passed"])
    fill(plan_file, "grid:", "chosen", "{learning_rate: 1e-05, epochs: 1}")
    plan = read_plan(plan_file)
    assert plan.grid.chosen == Cell(1e-5, 1)
    turns = [(arm.name, arm.seed) for arm in plan.select(["failing", "passing"])]  # every arm once before any twice
    assert turns == [("passing", 1), ("failing", 1), ("passing", 2), ("failing", 2)]
    first, second = plan.select(["passing"])
    assert (first.budget.training.seed, second.budget.training.seed) == (1, 2)
    assert first.budget.training.learning_rate == 1e-5 and first.budget.training.batch == 4


def test_computed_values_go_into_the_committed_plan_and_comments_stay(tmp_path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.read_text())
    fill(path, "id: passing-beats-random", "detectable", "0.0312")
    fill(path, "grid:", "chosen", "{learning_rate: 3e-05, epochs: 2}")
    before, after = read_plan(), read_plan(path)
    assert [q.detectable for q in after.questions] == [
        0.0312 if q.id == "passing-beats-random" else q.detectable for q in before.questions
    ]
    assert after.grid.chosen == Cell(3e-5, 2)
    fill(path, "grid:", "chosen", "null")
    assert read_plan(path).grid.chosen is None
    comments = re.compile(r"#.*")
    assert comments.findall(path.read_text()) == comments.findall(PLAN.read_text())
    with pytest.raises(StudyError, match="has no detectable below 'id: other'"):
        fill(path, "id: other", "detectable", "1")

"""Comparisons: pairing, Holm, verdicts by the plan's words, controls first, the untrained arm, the figure."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml

from lib.core.records import StudyError, read_records, write_records
from lib.experiment.__main__ import choose
from lib.experiment.compare import compare, controls_in_words, difference, in_words, judged_claims
from lib.experiment.figures import differences, lengths, style_and_score
from lib.experiment.plan import Cell
from lib.experiment.plan_file import fill, read_plan
from lib.experiment.records import RECORDED, consistent, record, verify

STYLE = {"words": 20.0, "comments": 0.5, "docstrings": 0.25}


def write_scores(out, arm: str, seed: int, solved: int, n: int = 60) -> None:
    """The scores of an arm that solves the first `solved` of n problems, one answer in two of the next ten."""
    folder = out / arm / str(seed)
    folder.mkdir(parents=True)
    correct = {f"P/{k:03d}": 2 if k < solved else 1 if k < solved + 10 else 0 for k in range(n)}
    one = {"answers": 2, "correct": correct, "style": STYLE}
    sets = {"HumanEval+": one, "validation": one | {"correct": {"task": solved % 2}}}
    scores = {"id": arm, "name": arm, "seed": seed, "sets": sets}
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "arm.json").write_text(json.dumps({"id": arm}))


@pytest.fixture
def plan(plan_file):
    fill(plan_file, "grid:", "chosen", "{learning_rate: 1e-05, epochs: 1}")
    return read_plan(plan_file)


def test_the_controls_come_first_then_each_question_beside_the_paper(plan, tmp_path) -> None:
    solved = {"passing": (40, 41), "failing": (20, 23), "teacher": (44, 45), "shuffled": (10, 12)}
    for arm, each in solved.items():
        for seed, count in enumerate(each, 1):
            write_scores(tmp_path, arm, seed, count)
    result = compare(plan, tmp_path)
    first, second = result["questions"]
    assert second is None and len(result["arms"]) == 8
    assert first["seeds"] == pytest.approx([20 / 60, 18 / 60]) and first["difference"] == pytest.approx(19 / 60)
    assert first["paper"] == pytest.approx(0.073) and first["verdict"] == "above" and first["conclusion"] == "Yes."
    assert first["holm"] == pytest.approx(min(1, 2 * first["p"])), "a question that is not scored yet counts, too"
    assert first["low"] < first["difference"] < first["high"] and first["n"] == 60
    said = in_words(plan, result)
    assert (
        said.startswith("The controls part (teacher against shuffled: +55.8 points")
        and "| second | not scored yet" in said
    )
    assert "- Do passing ones? Yes." in said and "+33.3, +30.0" in said
    figure = differences([result["controls"], first], "Differences")
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["teacher − shuffled", "passing − failing"]


def test_arms_are_recorded_without_texts_and_a_second_run_is_held_against_them(tmp_path) -> None:
    out, target = tmp_path / "arms", tmp_path / "recorded"
    with pytest.raises(StudyError, match="has no scored arm: run `make arms` first"):
        record(out, target)
    with pytest.raises(StudyError, match="has no scored arm that is recorded: run one of"):
        verify(out, target)
    for seed, count in ((1, 40), (2, 41), (3, 42)):
        write_scores(out, "passing", seed, count)
        rows = [{"id": "0", "held_out_loss": 1.0}, {"id": "1", "held_out_loss": 0.5}]
        write_records(out / "passing" / str(seed) / "log.jsonl", rows)
        (out / "passing" / str(seed) / "completions.jsonl").write_text("{}\n")
    write_records(out / "validation.jsonl", [{"id": "task", "tests": "a"}])
    assert [path.name for path in record(out, target)] == ["1", "2", "3"]
    kept = {path.name for path in (target / "passing" / "1").iterdir()}
    assert kept == {"arm.json", "scores.json", "log.jsonl.gz"}
    first = {(check.arm, check.what): check.fits for check in verify(out, target)}
    assert first == {(f"passing/{n}", what): True for n in (1, 2, 3) for what in ("held-out loss", "solved")}

    for folder in (out / "passing" / str(seed) for seed in (1, 2, 3)):
        shutil.rmtree(folder)
    write_scores(out, "passing", 1, 20)  # solves far fewer
    write_scores(out, "passing", 2, 41)
    write_records(out / "passing" / "2" / "log.jsonl", [{"id": "1", "held_out_loss": 0.52}])
    write_scores(out, "passing", 3, 42)
    (out / "passing" / "3" / "arm.json").write_text(json.dumps({"id": "another"}))
    write_scores(out, "failing", 1, 3)  # not recorded
    again = {(check.arm, check.what): check.fits for check in verify(out, target)}
    assert again == {
        ("passing/1", "solved"): False, ("passing/2", "held-out loss"): False, ("passing/2", "solved"): True,
        ("passing/3", "arm"): False,
    }  # fmt: skip
    write_records(out / "validation.jsonl", [{"id": "task", "tests": "b"}])
    with pytest.raises(StudyError, match="is another validation set: delete the records of its arms first"):
        record(out, target)


def test_recorded_arms_are_held_against_their_pools_and_verdicts(tmp_path) -> None:
    """All that is recorded is consistent; a changed score, another verdict and a foreign example are found."""
    assert [check for check in consistent() if not check.fits] == []
    arm = tmp_path / "passing" / "1"
    shutil.copytree(RECORDED / "passing" / "1", arm)
    assert [(check.what, check.fits) for check in consistent(tmp_path)] == [("examples", True), ("scores", True)]
    verdicts = read_records(arm / "verdicts.jsonl.gz")
    passed = next(each for each in verdicts if each["verdict"] == "pass")
    write_records(arm / "verdicts.jsonl.gz", [each for each in verdicts if each is not passed])
    rows = read_records(arm / "dataset.jsonl.gz")
    for changed in (rows[1:], [rows[0] | {"answers": "nowhere"}, *rows[1:]]):
        write_records(arm / "dataset.jsonl.gz", changed)
        assert [(check.what, check.fits) for check in consistent(tmp_path)] == [("examples", False), ("scores", False)]


def test_controls_that_do_not_part_are_said_before_all_else(plan, tmp_path) -> None:
    for arm in ("passing", "failing", "teacher", "shuffled"):
        for seed in (1, 2):
            write_scores(tmp_path, arm, seed, 30 + seed)
    write_scores(tmp_path, "none", 1, 50)
    result = compare(plan, tmp_path)
    first, second = result["questions"]
    assert (first["verdict"], first["conclusion"]) == ("inconclusive", "Not shown.") and first["p"] == 1
    assert (second["verdict"], second["conclusion"]) == ("below", "No.") and len(second["seeds"]) == 2
    assert in_words(plan, result).startswith("**The controls do not part")
    assert "not scored yet" in controls_in_words(None)


def test_while_trainings_are_missing_there_is_a_difference_and_no_verdict(plan, tmp_path) -> None:
    for arm, seed, count in (("passing", 1, 40), ("passing", 2, 41), ("failing", 1, 20), ("teacher", 1, 44)):
        write_scores(tmp_path, arm, seed, count)
    result = compare(plan, tmp_path)
    first = result["questions"][0]
    assert first["seeds"] == pytest.approx([20 / 60]) and first["planned"] == 2
    assert (first["verdict"], first["conclusion"], first["holm"]) == ("unfinished", "", 1)
    assert result["controls"] is None and len(result["arms"]) == 4
    said = in_words(plan, result)
    assert "unfinished: 1 of 2 trainings so far" in said and "Yes." not in said
    write_scores(tmp_path, "shuffled", 1, 10)
    said = controls_in_words(compare(plan, tmp_path)["controls"])
    assert said.startswith(
        "The controls are not finished (1 of 2 trainings so far; teacher against shuffled: +56.7 points"
    )


def test_an_arm_with_fewer_trainings_of_its_own_is_waited_for(plan, tmp_path) -> None:
    for arm, seed, count in (("passing", 1, 40), ("passing", 2, 41), ("failing", 1, 20), ("failing", 2, 21)):
        write_scores(tmp_path, arm, seed, count)
    two = {name: replace(line, seeds=(1, 2)) for name, line in plan.arms.items() if name in ("passing", "failing")}
    one = replace(plan, arms=plan.arms | two | {"failing": replace(plan.arms["failing"], seeds=(1, 2, 3))})
    first = compare(one, tmp_path)["questions"][0]
    assert first["planned"] == 3 and len(first["seeds"]) == 2 and first["verdict"] == "unfinished"
    other = replace(plan, arms=plan.arms | two | {"passing": replace(plan.arms["passing"], seeds=(1, 2, 3, 4))})
    assert compare(other, tmp_path)["questions"][0]["verdict"] == "unfinished"
    assert compare(replace(plan, arms=plan.arms | two), tmp_path)["questions"][0]["verdict"] == "above"


def test_a_claim_is_judged_only_where_the_controls_part(plan, tmp_path) -> None:
    values = [{"model": "m", "base": plan.base, "benchmark": "HumanEval+", "worse": 1.0, "better": 2.0}]
    paper = {"claims": [{"id": q.id, "claim": "C", "table": "T", "values": values} for q in plan.questions]}
    solved = {"passing": (40, 41), "failing": (20, 23), "teacher": (44, 45)}
    for arm, each in solved.items():
        for seed, count in enumerate(each, 1):
            write_scores(tmp_path, arm, seed, count)
    first, second = judged_claims(plan, compare(plan, tmp_path), paper)
    assert (first["verdict"], second["verdict"]) == ("inconclusive", "inconclusive")
    assert "the controls were not shown to part" in first["why"] and second["why"] == "its arms are not scored yet"
    for seed, count in enumerate((10, 12), 1):
        write_scores(tmp_path, "shuffled", seed, count)
    first, second = judged_claims(plan, compare(plan, tmp_path), paper)
    assert first["verdict"] == "holds" and "on HumanEval+, n = 60" in first["ours"] and first["same model"] == "yes"
    assert second["verdict"] == "inconclusive"


def test_figures_are_drawn_of_whatever_is_there() -> None:
    rows = [{"name": name, "solved": {"validation": 0.5}, **STYLE} for name in ("a", "a", "b")]
    assert "Between 3 models" in style_and_score(rows).axes[0].get_title(loc="left")
    assert style_and_score([]).axes
    assert "+1.0 words" in lengths([0.0, 2.0, 1.0], [0.0, 1.0, -1.0]).axes[0].get_title(loc="left")


def test_scores_of_other_arms_or_problems_are_refused(plan, tmp_path) -> None:
    for seed in (1, 2):
        write_scores(tmp_path, "passing", seed, 30)
        write_scores(tmp_path, "failing", seed, 30, n=50 if seed == 2 else 60)
    with pytest.raises(StudyError, match="passing and failing were asked different problems"):
        compare(plan, tmp_path)
    (tmp_path / "passing" / "2" / "arm.json").write_text('{"id": "another"}')
    with pytest.raises(StudyError, match="is not of the arm in its folder"):
        compare(plan, tmp_path)


def test_the_grid_s_choice_is_the_best_on_the_validation_set_then_the_cheapest(plan_text, plan_file, tmp_path) -> None:
    plan_text["grid"] |= {"learning_rates": [0.001, 0.01], "epochs": [2, 1]}
    plan_file.write_text(yaml.safe_dump(plan_text))
    plan = read_plan(plan_file)
    for arm, count in zip(plan.cells().values(), (41, 40, 41, 41), strict=True):  # of 2: as many validation answers
        write_scores(tmp_path, arm.name, arm.seed, count)
    choose(plan, plan_file, tmp_path, write=True)
    assert read_plan(plan_file).grid.chosen == Cell(0.01, 1)
    (tmp_path / "tuning-0.01-2/5/scores.json").unlink()
    with pytest.raises(StudyError, match="tuning-0.01-2 is not scored yet"):
        choose(plan, plan_file, tmp_path, write=False)


def test_one_untrained_model_stands_beside_every_training(plan, tmp_path) -> None:
    rows = []
    for arm, seed, count in (("a", 1, 30), ("a", 2, 40), ("b", 1, 30)):
        write_scores(tmp_path, arm, seed, count)
        rows.append(json.loads((tmp_path / arm / str(seed) / "scores.json").read_text()))
    found = difference(rows[:2], rows[2:])
    assert found["seeds"] == pytest.approx([0, 10 / 60]) and (found["better"], found["worse"]) == ("a", "b")
    assert difference(rows[:2], rows[2:], "validation")["n"] == 1

"""Arms for real with a tiny model: trained, scored, resumed after a kill, weights gone, another plan refused."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from helpers import kill_nine, lines, wait_for_lines

from lib.core.paths import ROOT
from lib.core.records import StudyError, read_records, write_records
from lib.experiment import run as runner
from lib.experiment.__main__ import choose, power
from lib.experiment.job import read_job
from lib.experiment.plan import Cell
from lib.experiment.plan_file import fill, read_plan
from lib.experiment.run import prepare, run
from lib.experiment.scoring import documented, score_arm, style
from lib.experiment.tuning import tune
from lib.train.launch import PARENT

pytestmark = pytest.mark.engine


@pytest.fixture
def plan_text(plan_text, tiny):
    return plan_text | {"base": str(tiny.path)}


@pytest.fixture
def in_this_process(monkeypatch):
    """The steps of an arm in this process, which has torch loaded; returns what was done."""
    done = []

    def child(step, arm, out):
        done.append((step, arm.name))
        {"tuning": tune, "scoring": score_arm}[step](read_job(arm.folder(out)))

    monkeypatch.setattr(runner, "child", child)
    return done


def test_a_cell_of_the_grid_is_trained_scored_and_frozen_and_the_untrained_model_scored(
    plan_text, plan_file, tmp_path, in_this_process, capsys
) -> None:
    out = tmp_path / "arms"
    plan_text["grid"]["learning_rates"] = [0.01]
    plan_file.write_text(yaml.safe_dump(plan_text))
    with pytest.raises(StudyError, match="the other arms need a chosen cell"):
        run(read_plan(plan_file), [], out)
    assert in_this_process == [("tuning", "tuning-0.01-1"), ("scoring", "tuning-0.01-1"), ("scoring", "none")]
    choose(read_plan(plan_file), plan_file, out, write=True)
    assert read_plan(plan_file).grid.chosen == Cell(0.01, 1)

    folder = out / "tuning-0.01-1" / "5"
    cell, none = (json.loads((each / "scores.json").read_text()) for each in (folder, out / "none" / "1"))
    assert list(cell["sets"]) == ["validation"], "a cell was scored on a benchmark"
    assert {name: len(found["correct"]) for name, found in none["sets"].items()} == {"HumanEval": 3, "validation": 4}
    assert all(0 <= n <= found["answers"] == 2 for found in none["sets"].values() for n in found["correct"].values())
    assert cell["sets"]["validation"]["style"].keys() == {"words", "comments", "docstrings"}
    completions = {row["id"] for row in read_records(out / "none/1/completions.jsonl")}
    verdicts = read_records(out / "none/1/verdicts.jsonl")
    assert len(verdicts) == 2 * (3 + 4) and {row["completion"] for row in verdicts} == completions
    assert not (out / "none/1/dataset.jsonl").exists()

    updates = [row for row in read_records(folder / "log.jsonl") if "loss" in row]
    facts = json.loads((folder / "training.json").read_text())
    assert facts["recipe"]["seed"] == 5 and facts["settings"]["updates"] == len(updates)
    held_out = {row["id"] for row in read_records(out / "validation.jsonl")}
    learnt = read_records(folder / "dataset.jsonl")
    assert facts["examples"]["given"] == len(learnt) and not held_out & {row["id"] for row in learnt}
    assert not (folder / "model").exists()

    before, asked = (folder / "scores.json").read_bytes(), len(in_this_process)
    run(read_plan(plan_file), ["grid", "none"], out)  # all done: nothing happens
    assert len(in_this_process) == asked and (folder / "scores.json").read_bytes() == before
    said = capsys.readouterr().out
    assert "arms: 2/2 trained and scored" in said and "0 of 2 trainings to do" in said
    for only in ({"seed": 7}, {"among": tmp_path}):
        with pytest.raises(StudyError, match="^none has no such training: give another"):
            run(read_plan(plan_file), ["none"], out, **only)


def test_an_arm_of_another_recipe_is_prepared_and_notices_when_its_examples_are_gone(
    plan_text, plan_file, tmp_path
) -> None:
    given = [
        {
            "id": f"e{n:03d}",
            "seed": f"w{n}",
            "instruction": f"Task {n}." + " more" * (n * 7 % 90),
            "response": f"Answer {n}." + " and so on" * (n % 60),
        }
        for n in range(120)
    ]
    write_records(tmp_path / "made" / "examples.jsonl", given)
    (tmp_path / "above.yaml").write_text(
        yaml.safe_dump(
            {
                "stands_on": "plan.yaml",
                "made": {"other": str(tmp_path / "made")},
                "tasks": {"own": {"like": "passing"}},
                "arms": {"other": {"recipe": "other", "selection": "made", "tasks": "own", "seeds": [1, 2]}},
            }
        )
    )
    plan_text["grid"]["chosen"] = {"learning_rate": 0.01, "epochs": 1}
    plan_file.write_text(yaml.safe_dump(plan_text))
    plan, out = read_plan(tmp_path / "above.yaml"), tmp_path / "arms"
    prepare(plan, plan.select(["other", "passing"])[:2], out)
    job, like = read_job(out / "other" / "1"), read_job(out / "passing" / "1")
    learnt = {row["id"]: row for row in given}
    assert len(job.examples()) == len(like.examples()) and all(
        row["response"] == learnt[row["id"]]["response"] for row in job.examples()
    )
    write_records(tmp_path / "made" / "examples.jsonl", given[:3])
    with pytest.raises(StudyError, match="no longer has the examples of .*: restore it"):
        read_job(out / "other" / "1").examples()


def test_another_plan_is_refused_where_arms_are(plan_text, plan_file, tmp_path) -> None:
    out = tmp_path / "arms"
    plan = read_plan(plan_file)
    prepare(plan, plan.select(["none"]), out)
    plan_text["scoring"]["max_seqs"] = 7  # only faster
    plan_file.write_text(yaml.safe_dump(plan_text))
    prepare(read_plan(plan_file), read_plan(plan_file).select(["none"]), out)
    assert read_job(out / "none" / "1").arm.scoring.max_seqs == 7
    facts = json.loads((out / "none/1/arm.json").read_text())
    (out / "none/1/arm.json").write_text(json.dumps(facts | {"environment": {"commit": "older"}}))
    (out / "none/1/completions.jsonl").write_text("{}\n")  # begun
    prepare(read_plan(plan_file), read_plan(plan_file).select(["none"]), out)
    assert read_job(out / "none" / "1").facts["environment"] == {"commit": "older"}
    plan_text["scoring"]["max_tokens"] = 48
    plan_file.write_text(yaml.safe_dump(plan_text))
    with pytest.raises(StudyError, match="none/1 is of another plan, pool or model"):
        prepare(read_plan(plan_file), read_plan(plan_file).select(["none"]), out)
    plan_text["validation"]["seed"] = 99
    plan_file.write_text(yaml.safe_dump(plan_text))
    with pytest.raises(StudyError, match="another validation set"):
        prepare(read_plan(plan_file), read_plan(plan_file).select(["none"]), out)


def test_a_killed_scoring_keeps_its_answers_and_asks_for_the_others_only(plan_text, plan_file, tmp_path) -> None:
    plan_text["scoring"] |= {"problems": 12, "max_tokens": 120, "max_seqs": 1}
    plan_file.write_text(yaml.safe_dump(plan_text))
    plan, out = read_plan(plan_file), tmp_path / "arms"
    (arm,) = plan.select(["none"])
    prepare(plan, [arm], out)
    folder = arm.folder(out)
    environment = os.environ | {PARENT: str(os.getpid()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lib.experiment.scoring", str(folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for_lines(process, folder / "completions.jsonl", 5, 60)
    kill_nine(process)
    kept = [line for line in lines(folder / "completions.jsonl")][:5]
    assert not (folder / "scores.json").exists()
    job = read_job(folder)
    score_arm(job)
    assert lines(folder / "completions.jsonl")[:5] == kept
    identities = [json.loads(line)["id"] for line in lines(folder / "completions.jsonl")]
    assert len(identities) == len(set(identities)) == 2 * (12 + 4)
    assert len(json.loads((folder / "scores.json").read_text())["sets"]["HumanEval"]["correct"]) == 12


def test_the_pool_must_still_have_an_arm_s_examples(plan_file, tmp_path) -> None:
    fill(plan_file, "grid:", "chosen", "{learning_rate: 1e-03, epochs: 1}")
    plan, out = read_plan(plan_file), tmp_path / "arms"
    arm = plan.select(["failing"])[0]
    prepare(plan, [arm], out)
    job = read_job(arm.folder(out))
    assert job.arm == arm and len(job.examples()) == job.facts["examples"]
    rows = read_records(arm.folder(out) / "dataset.jsonl")
    (arm.folder(out) / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    with pytest.raises(StudyError, match="no longer has the examples"):
        read_job(arm.folder(out)).examples()


def test_power_is_printed_and_written_from_the_pool_while_there_is_no_pilot(plan_file, tmp_path, capsys) -> None:
    power(read_plan(plan_file), plan_file, tmp_path / "arms", write=True)
    said = capsys.readouterr().out
    assert (
        "full: 20 tasks, 100 well-ended responses, 40 pass; 20 tasks are solved, 20 have passing and failing ones"
        in said
    )
    assert "the pilot has fewer than two scored" in said
    found = [question.detectable for question in read_plan(plan_file).questions]
    assert all(value and value > 0 for value in found) and found[1] > found[0]


def test_the_style_of_answers_is_counted() -> None:
    programs = ["def f():\n    '''Do it.'''\n    return '#'\n", "x = 1  # one\n", "def f(:\n", '# only\n"""']
    found = style(["one two", "three", "", "four five six"], programs)
    assert found == {"words": 1.5, "comments": 0.5, "docstrings": 0.25}
    assert not documented("'''a module'''")

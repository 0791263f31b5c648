"""Two graded files compared: what is read of them, what is said, what is refused."""

import gzip
import json
import subprocess
import sys

import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.evaluate.pair import Outcomes, read_outcomes, report

FIRST, SECOND = (
    {f"HumanEval/{n}": float(n < 40) for n in range(100)},
    {f"HumanEval/{n}": float(n < 60) for n in range(100)},
)


def write_lines(path, outcomes) -> None:
    rows = [{"task_id": task, "sample": 0, "passed": bool(passed), "detail": ""} for task, passed in outcomes.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_what_grade_and_what_evalplus_writes_are_read_alike(tmp_path) -> None:
    write_lines(tmp_path / "a.jsonl", SECOND)
    passed = {"base_status": "pass", "plus_status": "pass"}
    failed = [{"base_status": "pass", "plus_status": "fail"}, {"base_status": "timeout", "plus_status": None}]
    evaluated = {task: [passed if solved else failed[n % 2]] for n, (task, solved) in enumerate(SECOND.items())}
    (tmp_path / "a_eval_results.json").write_text(json.dumps({"date": "", "hash": "", "eval": evaluated}))
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write((tmp_path / "a.jsonl").read_text())
    (tmp_path / "lines.json").write_text((tmp_path / "a.jsonl").read_text())
    names = ("a.jsonl", "a_eval_results.json", "a.jsonl.gz", "lines.json")
    found = [read_outcomes(tmp_path / name) for name in names]
    assert [each.rates for each in found] == [SECOND] * 4
    assert [each.plus for each in found] == [False, True, False, False]
    base = {"eval": {"HumanEval/0": [{"base_status": "pass", "plus_status": None}, {"base_status": "fail"}]}}
    (tmp_path / "base.json").write_text(json.dumps(base))
    assert read_outcomes(tmp_path / "base.json") == ({"HumanEval/0": 0.5}, False)
    with pytest.raises(StudyError, match="a_eval_results.json was graded with plus tests and .*base.json without"):
        report(("base.json", "a_eval_results.json"), read_outcomes(tmp_path / "base.json"), found[1], 10)


def test_the_command_says_who_solves_more_and_what(tmp_path) -> None:
    write_lines(tmp_path / "one.jsonl", FIRST)
    write_lines(tmp_path / "other.jsonl", SECOND | {"HumanEval/200": 1.0})
    command = [
        sys.executable,
        "-m",
        "lib.evaluate",
        "compare",
        str(tmp_path / "one.jsonl"),
        str(tmp_path / "other.jsonl"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "pass@1 40.0 % (95 % interval 3" in said and "pass@1 60.0 % (95 % interval 5" in said
    assert "+20.0 points (95 % interval +1" in said and "McNemar p < 0.001, n = 100" in said
    assert "20 gained: HumanEval/40, " in said and "HumanEval/49, ..." in said and "0 lost: \n" in said
    assert "1 problems are only in" in said and "would be found with a probability of 80 %" in said


def test_several_answers_to_a_problem_are_compared_by_their_share() -> None:
    said = report(("a", "b"), Outcomes({"x": 0.5, "y": 1.0}, False), Outcomes({"x": 1.0, "y": 1.0}, False), 100)
    assert "sign test" in said and "+25.0 points" in said and "would be found" not in said and "1 gained: x" in said


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"task_id": "x"}\n', "is neither: `grade` writes lines with task_id and passed"),
        ("a.jsonl", "not JSON\n", "is neither"),
        ("a.json", '{"no": 1}', "is neither"),
        ("a.json", "[1]", "is neither"),
        ("a.jsonl", "\n", "is neither"),
        ("a.json", '{"eval": {"x": []}}', "has no graded answer"),
    ],
)
def test_other_files_are_refused(tmp_path, name, text, message) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(StudyError, match=message):
        read_outcomes(tmp_path / name)


def test_a_missing_file_and_other_problems_are_refused(tmp_path) -> None:
    with pytest.raises(StudyError, match="cannot read .*; give a file that grade or EvalPlus wrote"):
        read_outcomes(tmp_path / "none.jsonl")
    with pytest.raises(StudyError, match="a and b have no problem in common"):
        report(("a", "b"), Outcomes({"x": 1.0}, True), Outcomes({"y": 1.0}, True), 10)

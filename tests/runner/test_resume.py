"""A run killed with -9 goes on where it was: nothing is generated or executed twice, no process is left over."""

import json
import os
import time

import nbformat
import pytest
from helpers import alive, descendants, kill_nine

from lib.core.paths import ROOT
from lib.core.records import canonical
from lib.core.study import STAGES, only
from lib.runner.verify import OK, WRONG, verify

LAPTOP = ROOT / "data" / "reference" / "laptop"

SMALL = {
    "01_seed_curation": {"PACKAGES": "more-itertools,toolz,boltons", "JUDGED": 0},
    "02_self_oss_instruct": {
        "N_SEEDS": 8,
        "SHOTS": 2,
        "DECKS": 1,
        "RESPONSE_DECKS": 2,
        "SAMPLES": 2,
        "INSTRUCTION_TOKENS": 80,
        "RESPONSE_TOKENS": 96,
        "MAX_SEQS": 4,
        "REPEATED": 0,
    },
}


def lines(path):
    return path.read_bytes().splitlines() if path.exists() else []


def wait_for_lines(process, path, count, seconds):
    """Wait until a journal has `count` lines while the run goes on."""
    deadline = time.monotonic() + seconds
    while len(lines(path)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, process.stdout.read()
    assert len(lines(path)) >= count


def wait_until_gone(pids, seconds=30):
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, f"left over: {left}"


@pytest.mark.engine
def test_stage_02_resumes_after_kill_nine_and_replays_to_the_same_records(runner):
    profile = runner.profile("small", SMALL)
    runner.run("01", "--profile", profile, "--run", "small")
    folder = runner.runs / "small" / "02_self_oss_instruct"
    journal = folder / "completions.jsonl"
    process = runner.start("02", "--profile", profile, "--run", "small")
    wait_for_lines(process, journal, 12, 240)
    wait_until_gone(kill_nine(process))
    assert not (folder / "manifest.json").exists()
    with journal.open("ab") as file:
        file.write(b'{"id":"torn')  # as a crash in the middle of a write leaves it
    before = [json.loads(line) for line in lines(journal)[:-1]]

    runner.run("02", "--profile", profile, "--run", "small")
    after = [json.loads(line) for line in lines(journal)]
    assert after[: len(before)] == before  # every stored completion is kept, none is asked for twice
    assert len({record["id"] for record in after}) == len(after) > len(before)

    # An undisturbed run that gets these completions makes these requests, all of them, and ends with these records.
    replayed = SMALL | {"02_self_oss_instruct": SMALL["02_self_oss_instruct"] | {"REPLAY_FROM": str(folder.parent)}}
    arguments = ("02", "--profile", runner.profile("again", replayed), "--run", "again", "--engine", "replay")
    runner.run(*arguments)
    again = runner.runs / "again" / "02_self_oss_instruct"
    for name in ("concepts.jsonl", "instructions.jsonl", "responses.jsonl"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    manifest = json.loads((again / "manifest.json").read_text())
    assert sum(step["completions"] for step in manifest["metrics"]["cost"].values()) == len(after)

    # Replay with a completion missing names the request and stops.
    journal.write_text("".join(canonical(record) + "\n" for record in after[:-1]))
    for file in ("completions.jsonl", "manifest.json"):
        (again / file).unlink()
    assert "ENGINE=replay has no completion" in runner.fail(*arguments)


def response(number, body):
    """A response record whose program sleeps a little, so that a run can be caught in the middle."""
    text = (
        f"Here.\n```python\nimport time\n\ndef f{number}(x):\n    time.sleep(0.15)\n    return {body}\n```\n</response>"
    )
    tests = f"\n\n<tests>\nTests.\n```python\nassert f{number}(2) == 4\nassert f{number}(3) == 6\n```"
    common = {
        "seed": f"seed{number:03}",
        "exemplars": [],
        "sampling_seed": 0,
        "request": "r",
        "model": "m",
        "engine": "e",
    }
    return common | {
        "id": f"response{number:03}",
        "parent": f"task{number // 2:03}",
        "sample": number % 2,
        "text": text + tests,
        "finish_reason": "stop",
        "tokens": 50,
    }


def task(number):
    common = {"exemplars": [], "sampling_seed": 0, "request": "r", "model": "m", "engine": "e"}
    return common | {
        "id": f"task{number:03}",
        "parent": f"concepts{number:03}",
        "seed": f"seed{number * 2:03}",
        "instruction": f"Write a Python function number {number} that doubles a number and returns the result.",
        "category": "function implementation",
        "difficulty": "easy",
    }


PROGRAMS = 24


def lay_down(runner, run):
    """Write finished stages 01 and 02 with hand-made records."""
    import subprocess
    import sys

    responses = [response(number, "x * 2" if number % 3 else "x + 3") for number in range(PROGRAMS)]
    source = {"package": "p", "version": "1", "licence": "MIT", "path": "p.py", "line": 1}
    seeds = [
        {"id": f"seed{n:03}", "code": "def f(): ...", "name": "f", "docstring": "", "order": n, "source": source}
        for n in range(PROGRAMS)
    ]
    code = f"""
import json, sys
from lib.core.notebooks import parameter_defaults
from lib.core.stage_run import StageRun
data = json.load(sys.stdin)
for name, files in data.items():
    stage = StageRun(name, parameter_defaults(name) | {{"RUN": {run!r}}})
    for file, rows in files.items():
        stage.write(file, rows)
    for part in ("a", "b"):
        stage.step(part, 1, 1, unit="x")
    if name[:2] == "02":
        stage.read("01_seed_curation", "seeds.jsonl")
        stage.metrics["model"] = {{"name": "m", "revision": "r"}}
    stage.finish()
"""
    data = {
        "01_seed_curation": {"seeds.jsonl": seeds},
        "02_self_oss_instruct": {
            "instructions.jsonl": [task(n) for n in range(PROGRAMS // 2)],
            "responses.jsonl": responses,
        },
    }
    environment = os.environ | {"STUDY_RUNS": str(runner.runs)}
    subprocess.run([sys.executable, "-c", code], input=json.dumps(data), text=True, check=True, env=environment)


def test_stage_03_resumes_after_kill_nine_with_identical_records(runner):
    for run in ("killed", "whole"):
        lay_down(runner, run)
    profile = runner.profile("unchanged", {"03_execution_filtering": {"MUTANTS": 0}})  # a mutant sleeps for seconds
    runner.run("03", "--profile", profile, "--run", "whole")
    folder = runner.runs / "killed" / "03_execution_filtering"
    journal = folder / "verdicts.partial.jsonl"
    process = runner.start("03", "--profile", profile, "--run", "killed")
    wait_for_lines(process, journal, 6, 120)
    below = descendants(process.pid)
    wait_until_gone(below + kill_nine(process))
    with journal.open("ab") as file:
        file.write(b'{"id":"torn')
    before = lines(journal)[:-1]
    assert 6 <= len(before) < PROGRAMS
    runner.run("03", "--profile", profile, "--run", "killed")
    assert lines(journal)[: len(before)] == before
    whole = runner.runs / "whole" / "03_execution_filtering"
    ids, undisturbed = ([json.loads(line)["id"] for line in lines(one / journal.name)] for one in (folder, whole))
    assert len(ids) == len(set(ids)) >= PROGRAMS and set(ids) == set(undisturbed)  # none executed twice
    for name in ("verdicts.jsonl", "dataset.jsonl"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes() != b""


def test_the_reference_replays_to_its_own_records(runner):
    """The whole recorded study, tuned model and evaluation included, comes out again without a model."""
    profile = runner.profile("again", {only("filtering"): {"MUTANTS": 0}})  # what tests are worth is not compared
    runner.run("study", "--profile", profile, "--engine", "replay", "--run", "again")
    checks = {(check.stage, check.what): check for check in verify(runner.runs / "again", LAPTOP)}
    assert not [check for check in checks.values() if check.mark == WRONG]
    compared = [key for key in checks if key[1].endswith(".jsonl") or key[1] in ("completions", "files", "funnel")]
    assert len(compared) == 5 + 5 + 3 + 6 + 3  # a check gone silent would be none
    assert [checks[key].said for key in compared if checks[key].mark != OK] == []
    for stage in STAGES:
        book = nbformat.read(runner.runs / "again" / stage.name / f"{stage.name}.ipynb", as_version=4)
        tags = [tag for cell in book.cells for tag in cell.metadata.get("tags", [])]
        assert tags == ["parameters"]

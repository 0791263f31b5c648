"""A filtering stage goes on where it was killed or told to end; the recorded study comes out again without a model.

What is killed during generation: test_end_to_end.py.
"""

import json
import os
import signal

import nbformat
import pytest
from helpers import descendants, lines, wait_for_lines, wait_until_gone

from lib.core.cli import INTERRUPTED
from lib.core.paths import ROOT
from lib.core.study import only, with_role
from lib.runner.verify import OK, WRONG, verify

SHARED = ROOT.parent / "shared"
LAPTOP = ROOT / "data" / "reference" / "laptop"


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


PROGRAMS = 14


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


def test_stage_03_resumes_after_each_signal_with_identical_records(runner):
    """SIGKILL when memory runs out; SIGTERM from a scheduler, which kills after 30 s (Slurm's default KillWait)."""
    for run in ("disturbed", "whole"):
        lay_down(runner, run)
    profile = runner.profile("unchanged", {"03_execution_filtering": {"MUTANTS": 0}})  # a mutant sleeps for seconds
    runner.run("03", "--profile", profile, "--run", "whole")
    folder = runner.runs / "disturbed" / "03_execution_filtering"
    journal = folder / "verdicts.partial.jsonl"
    before = []
    for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, INTERRUPTED)):
        process = runner.start("03", "--profile", profile, "--run", "disturbed")
        wait_for_lines(process, journal, len(before) + 3, 120)
        below = descendants(process.pid)
        process.send_signal(number)
        assert process.wait(30) == status
        wait_until_gone(below)
        assert ("the same command goes on from here" in process.stdout.read()) is (number == signal.SIGTERM)
        with journal.open("ab") as file:
            file.write(b'{"id":"torn')
        assert lines(journal)[: len(before)] == before
        before = lines(journal)[:-1]
    assert 6 <= len(before) < PROGRAMS
    runner.run("03", "--profile", profile, "--run", "disturbed")
    assert lines(journal)[: len(before)] == before
    whole = runner.runs / "whole" / "03_execution_filtering"
    ids, undisturbed = ([json.loads(line)["id"] for line in lines(one / journal.name)] for one in (folder, whole))
    assert len(ids) == len(set(ids)) >= PROGRAMS and set(ids) == set(undisturbed)  # none executed twice
    for name in ("verdicts.jsonl", "dataset.jsonl"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes() != b""


@pytest.mark.longest
@pytest.mark.parametrize("problems", [40, pytest.param(None, marks=pytest.mark.slow)])  # None: all that are recorded
def test_the_reference_replays_to_its_own_records(runner, problems, monkeypatch):
    """The recorded study, tuned model and evaluation included, comes out again without a model."""
    names = ["humaneval"]
    if SHARED.is_dir():  # a user has these files from the hub
        monkeypatch.setenv("STUDY_BENCHMARKS", str(SHARED / "benchmarks"))
        names += ["humaneval+", "mbpp+"]
    evaluation = only("evaluation")
    parts = {"N_PROBLEMS": dict.fromkeys(names, problems)} if problems else {}
    # What tests are worth is not compared.
    sections = {
        only("filtering"): {"MUTANTS": 0},
        evaluation: {"BENCHMARKS": names, **parts},
    }
    profile = runner.profile("again", sections)
    runner.run("study", "--profile", profile, "--engine", "replay", "--run", "again")
    checks = {(check.stage, check.what): check for check in verify(runner.runs / "again", LAPTOP)}
    assert not [check for check in checks.values() if check.mark == WRONG]
    compared = [key for key in checks if key[1].endswith(".jsonl") or key[1] in ("completions", "files", "funnel")]
    assert len(compared) == 5 + 5 + 3 + 6 + 4 * len(names)  # a check gone silent would be none
    if problems:  # then the evaluation has fewer completions and another funnel: its verdicts are compared alone
        compared = [key for key in compared if key[0] != evaluation or key[1].startswith("samples")]
    assert [checks[key].said for key in compared if checks[key].mark != OK] == []
    if SHARED.is_dir():  # of notebook 06, what may be published: a few tasks of EvalPerf
        (beyond,) = (stage.name for stage in with_role("beyond"))
        asked = sections | {beyond: {"BENCHMARKS": ["evalperf"], "N_PROBLEMS": 3}}
        runner.run("06", "--profile", runner.profile("beyond", asked), "--engine", "replay", "--run", "again")
        found = {check.what: check.mark for check in verify(runner.runs / "again", LAPTOP) if check.stage == beyond}
        assert WRONG not in found.values()
        assert {f"samples_{label}_evalperf.jsonl" for label in ("before", "after")} <= found.keys()
    if problems is None:  # without a benchmark, 06 shows its own problems and ends well
        (beyond,) = (stage.name for stage in with_role("beyond"))
        nothing = runner.profile("nothing", sections | {beyond: {"BENCHMARKS": ["canitedit"]}})
        assert "no benchmark is here" in runner.run("06", "--profile", nothing, "--engine", "replay", "--run", "again")
    for stage in with_role("study"):
        book = nbformat.read(runner.runs / "again" / stage.name / f"{stage.name}.ipynb", as_version=4)
        tags = [tag for cell in book.cells for tag in cell.metadata.get("tags", [])]
        assert tags == ["parameters"]

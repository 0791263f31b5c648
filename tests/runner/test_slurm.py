"""The example of a job for Slurm: it is a shell script, plans first, and is queued again when its time is nearly up."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lib.core.paths import ROOT

JOB = ROOT / "notebooks" / "params" / "slurm" / "study.sbatch"
MAKE = """#!/bin/bash
echo "make $*" >>"$NOTES"
case $1 in
    plan) exit "${PLAN:-0}";;
    study) touch "$NOTES.began"; for _ in $(seq "${TENTHS:-1}"); do sleep 0.1; done; exit "${STUDY:-0}";;
esac
"""
SCONTROL = '#!/bin/bash\necho "scontrol $*" >>"$NOTES"\n'


@pytest.fixture
def job(tmp_path: Path):
    """Starts the job with stand-ins for make and for Slurm's scontrol, which note how they were called."""
    for name, text in {"make": MAKE, "scontrol": SCONTROL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    notes = tmp_path / "notes"

    def start(**environment: str) -> subprocess.Popen[bytes]:
        given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTES": str(notes), "SLURM_JOB_ID": "7"}
        given |= {"SLURM_SUBMIT_DIR": str(ROOT)} | environment
        process = subprocess.Popen(["bash", str(JOB)], env=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        process.notes = lambda: notes.read_text().splitlines() if notes.exists() else []  # pyright: ignore
        process.began = lambda: Path(f"{notes}.began").exists()  # pyright: ignore
        return process

    return start


def wait_for(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_the_script_is_sound():
    assert subprocess.run(["bash", "-n", str(JOB)], capture_output=True).returncode == 0
    if checker := shutil.which("shellcheck"):
        done = subprocess.run([checker, str(JOB)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_it_plans_and_then_runs_the_study(job):
    process = job(PROFILE="llama-3-8b", MODEL="/models/mine", RUN="trial")
    assert process.wait(30) == 0
    asked = "PROFILE=llama-3-8b DEVICE=gpu MODEL=/models/mine RUN=trial"
    assert process.notes() == [f"make plan {asked}", f"make study {asked}"]


def test_what_stops_a_run_ends_the_job_before_the_study(job):
    process = job(PLAN="1")
    assert process.wait(30) == 1
    assert process.notes() == ["make plan PROFILE=codeqwen-7b DEVICE=gpu"]


def test_a_failed_study_is_a_failed_job_and_is_not_queued_again(job):
    process = job(STUDY="2")
    assert process.wait(30) == 2
    assert [note for note in process.notes() if note.startswith("scontrol")] == []


@pytest.mark.parametrize(("restarts", "queued"), [("", 1), ("49", 1), ("50", 0)])
def test_near_its_limit_the_job_is_queued_again_but_not_for_ever(job, restarts, queued):
    process = job(TENTHS="15", **({"SLURM_RESTART_COUNT": restarts} if restarts else {}))
    wait_for(process.began)
    for _ in range(2):  # a second signal changes nothing
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.3)
    assert process.poll() is None, "the study goes on until Slurm ends the job"
    assert process.wait(30) == 0
    assert process.notes().count("scontrol requeue 7") == queued

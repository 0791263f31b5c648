"""Distributes a training over several processes: `accelerate launch` with a configuration that the study ships."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from lib.core.paths import ROOT
from lib.core.progress import SAID, say
from lib.core.records import StudyError, write_text

CONFIGURATIONS = ROOT / "notebooks" / "params" / "accelerate"  # ddp, fsdp, zero3
JOB, OUTPUT = "job", "output.txt"  # the folder with what to train; the file with what failed processes printed
PARENT = "STUDY_PARENT"  # environment variable: the id of the process to end with
ERROR = "!! "  # starts the line with which a process reports a StudyError


def configuration(name: str) -> Path:
    """Return the accelerate configuration with this name or path; StudyError when there is none."""
    path = CONFIGURATIONS / f"{name}.yaml" if name.isidentifier() else Path(name).expanduser()
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGURATIONS.glob("*.yaml")))
        raise StudyError(
            f"LAUNCH={name!r} is not a configuration: give {known} or the path of an accelerate .yaml file"
        )
    return path.resolve()


def end_with_parent() -> None:
    """End this process silently once the notebook or the launcher that started it is gone."""
    launcher = os.getppid()

    def wait(parent: int) -> None:
        while Path(f"/proc/{parent}").exists() and os.getppid() == launcher:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, args=[int(os.environ[PARENT])], daemon=True).start()


def run(job: Path, name: str) -> None:
    """Run `python -m lib.train.finetune JOB` in the processes of a configuration and print their progress.

    They end with this process. Raises StudyError with the error that one of them reports, or else naming their output.
    """
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration(name))]
    command = [*launcher, "--module", "lib.train.finetune", str(job)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {PARENT: str(os.getpid())}, stdout=pipe, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    said: list[str] = []
    try:
        for line in process.stdout or ():
            said.append(line.rstrip())
            if line.startswith(SAID) and ERROR not in line:
                say(line.removeprefix(SAID).rstrip())
        process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its workers notice that it is gone
    if process.returncode:
        errors = [line.removeprefix(SAID + ERROR) for line in said if line.startswith(SAID + ERROR)]
        write_text(job / OUTPUT, "\n".join(said) + "\n")
        raise StudyError(errors[0] if errors else f"the launched training failed: see its output in {job / OUTPUT}")

"""Runs notebooks headlessly: strict papermill, parameters from a profile, progress, and errors that say what to do."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from lib import sandbox
from lib.core import models
from lib.core.cli import command
from lib.core.paths import ROOT, run_folder, shown
from lib.core.progress import clock
from lib.core.records import StudyError, write_text
from lib.core.study import STAGES, Stage, read_manifest, source_of, undone, with_ancestors, with_role
from lib.runner import pace
from lib.runner.console import Console, errors_into, to_go
from lib.runner.executed import tidied
from lib.runner.kernel import NAME, own_kernel
from lib.runner.profiles import settle
from lib.sandbox.interpreters import package_paths

Parameters = dict[str, dict[str, Any]]  # of each stage, by name
RUN_GIB, REPLAY_GIB = 3, 0.2  # disk that a run takes at most, with a tuned model and without
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    # glibc gives large blocks back at once and faults them in again at the next step; keeping them made training on a
    # CPU 1.6 times as fast, at the price of some memory.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}


def run_notebook(name: str, parameters: dict[str, Any], title: str, minutes_left: float | None = None) -> None:
    """Execute one notebook into its stage's folder; the executed copy appears only when the last cell has run.

    Raises StudyError when a cell fails, the kernel dies or the notebook leaves no manifest.
    """
    source = ROOT / "notebooks" / f"{name}.ipynb"
    folder = run_folder(parameters["RUN"]) / name
    folder.mkdir(parents=True, exist_ok=True)
    partial, log = folder / f".{name}.partial.ipynb", folder / "log.txt"
    cells = len(json.loads(source.read_text())["cells"])
    with (
        log.open("a") as errors,
        errors_into(errors),
        Console(name, cells, title, minutes_left) as console,
        explained(name, partial, log, console),
        own_kernel(),
    ):
        papermill.execute_notebook(
            str(source),
            str(partial),
            parameters=parameters,
            kernel_name=NAME,
            language="python",
            cwd=str(ROOT),
            progress_bar=False,
            stdout_file=console,
            stderr_file=errors,
            on_cell_start=console.on_cell,
            extra_arguments=["--log-level=40"],  # of the kernel: errors only
        )
    if read_manifest(parameters["RUN"], name) is None:
        raise StudyError(f"{name} ran but did not reach its last cell: its stage has no manifest; see {partial}")
    book = tidied(nbformat.read(partial, as_version=4), parameters)
    write_text(folder / f"{name}.ipynb", nbformat.writes(book) + "\n")
    partial.unlink()


@contextmanager
def explained(name: str, partial: Path, log: Path, console: Console) -> Iterator[None]:
    """Turn a failed cell, or a kernel that died or did not start, into a StudyError that says where to look."""
    try:
        yield
    except PapermillExecutionError as error:
        raise StudyError(
            f"{name}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
            f"  The cells up to there are in {partial}, the log in {log}. Fix it, then run the same command again."
        ) from error
    except DeadKernelError as error:
        raise StudyError(
            f"{name}: its kernel was killed in cell {console.cell}, most often because memory ran out. "
            f"Close other programs, or lower MAX_SEQS or MAX_LENGTH in notebooks/params, then run the same command "
            f"again (what was stored is kept; log: {log})."
        ) from error
    except RuntimeError as error:
        if console.cell:
            raise
        raise StudyError(
            f"{name}: its kernel did not start ({error}); the end of {log} says why; `make doctor` checks the packages"
        ) from error


def prepare(parameters: Parameters, stages: Sequence[Stage]) -> None:
    """Do what must not fail late: kernel environment, other runs, disk space, the sandbox, the models' weights."""
    os.environ.update({key: value for key, value in ENVIRONMENT.items() if key not in os.environ})
    run = run_folder(parameters[stages[0].name]["RUN"])
    for need in (need for stage in stages for need in stage.needs if ":" in need):
        other, name, _ = source_of(need, run.name)
        if read_manifest(other, name) is None:
            raise StudyError(f"{need} is needed and not finished: run `make {name[:2]} RUN={other}` first")
    models_needed = {name for stage in stages for name in models_of(parameters[stage.name])}
    needed = RUN_GIB if models_needed else REPLAY_GIB
    if (free := shutil.disk_usage(run).free / 2**30) < needed:
        raise StudyError(
            f"{run} has {free:.1f} GiB free and a run needs {needed}: free some space or set STUDY_RUNS elsewhere"
        )
    if any({"filtering", "scoring"} & set(stage.roles) for stage in stages):
        sandbox.check()
    for stage in stages:
        package_paths(parameters[stage.name].get("PACKAGES", []) if "filtering" in stage.roles else [])
    for name in sorted(models_needed):
        models.resolve(name)


def models_of(parameters: dict[str, Any]) -> list[str]:
    """Return the models whose weights a stage loads here; the curation's is the judge, if it judges any."""
    elsewhere = parameters.get("ENGINE") in ("replay", "server") or parameters.get("REPLAY")
    if elsewhere or parameters.get("JUDGED") == 0:
        return []
    asked = parameters.get("JUDGE") or parameters.get("MODEL"), parameters.get("TEACHER")
    return [name for name in asked if name]


def run_stages(stages: Sequence[Stage], profile: str, options: dict[str, str]) -> None:
    """Run stages and what they need, in order; those already done are left as they are."""
    parameters = settle(profile, options)
    wanted = with_ancestors(stages)
    run = parameters[wanted[0].name]["RUN"]
    replay = options.get("ENGINE") == "replay"
    with locked(run_folder(run)):
        prepared, slower = False, None
        for number, stage in enumerate(wanted, 1):
            name, place = stage.name, f"[{number}/{len(wanted)}]"
            reason = undone(run, name, parameters[name])
            if reason is None:
                print(f"{place} {name}: done before", flush=True)
                continue
            left = wanted[number - 1 :]
            if not prepared:
                prepare(parameters, left)
                prepared, slower = True, None if replay else pace.beside(profile)
            ahead = [each.name for each in left if each is stage or undone(run, each.name, parameters[each.name])]
            minutes = None if replay else pace.outlook(ahead, profile, slower)
            if ahead == [each.name for each in wanted] and minutes:
                print(pace.in_words(minutes, slower), flush=True)
            print(f"{place} {name} ({reason}) · {to_go(minutes)}", flush=True)
            run_notebook(name, parameters[name], f"notebook {number} of {len(wanted)}", minutes)
    report(run, wanted)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder, made when it is not there; StudyError when it cannot be or another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / ".lock").open("w")
    except OSError as error:
        raise StudyError(
            f"{folder} cannot be written ({error.strerror}); choose another RUN=, or another place with STUDY_RUNS"
        ) from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(
                f"another process is running RUN={folder.name}; wait for it or choose another RUN="
            ) from None
        yield


def report(run: str, stages: Sequence[Stage]) -> None:
    """Print the scores of a run whose scoring was asked for, and where everything lies."""
    for stage in stages:
        if "scoring" in stage.roles:
            scores = json.loads((run_folder(run) / stage.name / "scores.json").read_text())
            print(f"\n{scores['table']}\n\n{scores['summary']}\n")
    print(f"Records, figures and executed notebooks: {shown(run_folder(run))}", flush=True)


def command_line() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.run", description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="study", help="study, or the number of a notebook, with what it needs"
    )
    parser.add_argument("--profile", default="laptop")
    for option in ("run", "model", "judge", "engine"):
        parser.add_argument(f"--{option}", default="")
    return parser.parse_args()


def interrupt(number: int, _: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, the kernel and all that it started first; a scheduler and make may both send the signal."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """Run the stages of a role, or one stage, with what they need."""
    signal.signal(signal.SIGTERM, interrupt)
    arguments = command_line()
    stages = with_role(arguments.what) or [each for each in STAGES if arguments.what in (each.name, each.number)]
    if not stages:
        known = ", ".join(stage.number for stage in STAGES)
        raise StudyError(f"{arguments.what!r} is neither study nor a notebook's number: {known}")
    options = {name: getattr(arguments, name.lower()) for name in ("RUN", "MODEL", "JUDGE", "ENGINE")}
    started = time.monotonic()
    run_stages(stages, arguments.profile, options)
    print(f"finished in {clock(time.monotonic() - started)}")


if __name__ == "__main__":
    command(main)

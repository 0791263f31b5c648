"""Runs notebooks headlessly: strict papermill, parameters from a profile, progress, and errors that say what to do."""

import argparse
import fcntl
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml

from lib import sandbox
from lib.core import models
from lib.core.cli import command
from lib.core.notebooks import check_types, parameter_defaults
from lib.core.paths import ROOT, run_folder, shown
from lib.core.progress import SAID, clock
from lib.core.records import StudyError
from lib.core.study import NOTEBOOKS, read_manifest, undone

HEARTBEAT = 60  # seconds between two lines on how far the study is
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


class Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-5 is a number."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*(?:\.[\d_]*)?(?:[eE][-+]?\d+)|\d[\d_]*\.[\d_]*|\.\d+(?:[eE][-+]?\d+)?|\.inf|\.nan)$"),
    list("-+0123456789."),
)


def load_profile(profile: str) -> dict[str, dict[str, Any]]:
    """Return {notebook: {parameter: value}} of a profile, every name and type checked.

    A profile is the name of a file in notebooks/params, or the path of a YAML file of one's own.
    Raises StudyError for an unknown profile, notebook or parameter, or a wrong type.
    """
    folder = ROOT / "notebooks" / "params"
    path = Path(profile) if profile.endswith(".yaml") else folder / f"{profile}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise StudyError(f"PROFILE={profile} is unknown; choose {known}, or give the path of a YAML file")
    try:
        sections = yaml.load(path.read_text(), Loader) or {}  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    for name, values in sections.items():
        if name not in NOTEBOOKS:
            raise StudyError(f"{path}: there is no notebook {name}; the study has {', '.join(NOTEBOOKS)}")
        check_types(name, values or {}, parameter_defaults(name))
    return {name: parameter_defaults(name) | (sections.get(name) or {}) for name in NOTEBOOKS}


def settle(profile: str, options: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return every notebook's parameters: the profile's, with the command line's RUN, MODEL and ENGINE over them."""
    settled = load_profile(profile)
    run = Path(profile).stem + ("-replay" if options.get("ENGINE") == "replay" else "")
    for values in settled.values():
        values["RUN"] = run
        values.update({key: value for key, value in options.items() if value and key in values})
    return settled


class Console:
    """Passes on what a notebook says (study.say), and tells once a minute how far the study is."""

    def __init__(self, name: str, cells: int, title: str, minutes_left: float | None = None) -> None:
        self.name, self.cells, self.title, self.minutes_left = name, cells, title, minutes_left
        self.cell, self.started = 0, time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def write(self, text: str) -> None:
        """Print the lines that are meant for the terminal, marked with the notebook's number."""
        for line in text.splitlines():
            if line.startswith(SAID):
                print(f"  {self.name[:2]} │ {line.removeprefix(SAID).rstrip()}", flush=True)

    def flush(self) -> None:
        """Nothing is held back."""

    def on_cell(self, cell: object, cell_index: int) -> None:
        """Remember which cell runs (nbclient's hook)."""
        self.cell = cell_index + 1

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT):
            elapsed = time.monotonic() - self.started
            left = f", {to_go(self.minutes_left - elapsed / 60)}" if self.minutes_left else ""
            self.write(f"{SAID}… {self.title}, cell {self.cell} of {self.cells}, {clock(elapsed)}{left}")

    def __enter__(self) -> "Console":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()


@contextmanager
def errors_into(log: TextIO) -> Iterator[None]:
    """Send this process's standard error, which a kernel inherits, to a log: libraries write warnings there from C."""
    sys.stderr.flush()
    saved = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


def run_notebook(name: str, parameters: dict[str, Any], title: str, minutes_left: float | None = None) -> None:
    """Execute one notebook into its stage's folder; the executed copy appears only when the last cell has run.

    Raises StudyError when a cell fails, the kernel dies or the notebook leaves no manifest.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    source = ROOT / "notebooks" / f"{name}.ipynb"
    folder = run_folder(parameters["RUN"]) / name
    folder.mkdir(parents=True, exist_ok=True)
    partial, log = folder / f".{name}.partial.ipynb", folder / "log.txt"
    cells = len(json.loads(source.read_text())["cells"])
    with log.open("a") as errors, errors_into(errors), Console(name, cells, title, minutes_left) as console:
        try:
            papermill.execute_notebook(
                str(source),
                str(partial),
                parameters=parameters,
                kernel_name="python3",
                language="python",
                cwd=str(ROOT),
                progress_bar=False,
                stdout_file=console,
                stderr_file=errors,
                on_cell_start=console.on_cell,
                extra_arguments=["--log-level=40"],  # of the kernel: errors only
            )
        except PapermillExecutionError as error:
            raise StudyError(
                f"{name}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
                f"  The cells up to there are in {partial}, the log in {log}. Mend it, then run the same command again."
            ) from error
        except DeadKernelError as error:
            raise StudyError(
                f"{name}: its kernel was killed in cell {console.cell}, most often because memory ran out. "
                f"Close other programs, or lower MAX_SEQS or MAX_LENGTH in notebooks/params, then run the same command "
                f"again (what was stored is kept; log: {log})."
            ) from error
    if read_manifest(parameters["RUN"], name) is None:
        raise StudyError(f"{name} ran but did not reach its last cell: its stage has no manifest; see {partial}")
    partial.replace(folder / f"{name}.ipynb")


def expected_minutes(name: str, profile: str) -> float | None:
    """Return the minutes the reference run of this profile took for a notebook, or None when there is none."""
    path = ROOT / "data" / "reference" / profile / name / "manifest.json"
    return json.loads(path.read_text())["seconds"] / 60 if path.is_file() else None


def outlook(names: list[str], profile: str) -> float | None:
    """Return the minutes that the given notebooks took in the reference run, or None when it lacks one of them."""
    minutes = [expected_minutes(name, profile) for name in names]
    return None if None in minutes else sum(value for value in minutes if value is not None)


def to_go(minutes: float | None) -> str:
    """Say how long it may take from here, judged by the reference run on its machine."""
    return "time to go not known for this profile" if minutes is None else f"about {max(1, round(minutes))} min to go"


def prepare(parameters: dict[str, dict[str, Any]], names: list[str]) -> None:
    """Do what must not fail late: kernel environment, disk space, the sandbox, the model's weights."""
    os.environ.update({key: value for key, value in ENVIRONMENT.items() if key not in os.environ})
    run = run_folder(parameters[NOTEBOOKS[0]]["RUN"])
    run.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(run).free / 2**30) < 3:
        raise StudyError(
            f"{run} has {free:.1f} GiB free and a run needs 3: free some space or set STUDY_RUNS elsewhere"
        )
    if {"03_execution_filtering", "05_evaluation"} & set(names):
        sandbox.check()
    for name in names:
        if "MODEL" in parameters[name] and parameters[name].get("ENGINE") not in ("replay", "server"):
            models.resolve(parameters[name]["MODEL"])


def run_study(names: list[str], profile: str, options: dict[str, str]) -> None:
    """Run the given notebooks and what they need, in order; those already done are left as they are."""
    parameters = settle(profile, options)
    run = parameters[NOTEBOOKS[0]]["RUN"]
    last = max(names)
    if parameters["02_self_oss_instruct"]["ENGINE"] == "replay":
        last = min(last, "03_execution_filtering")  # from there on a model is needed
    wanted = [name for name in NOTEBOOKS if name <= last]
    folder = run_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(f"another process is running RUN={run}; wait for it or choose another RUN=") from None
        prepared = False
        for number, name in enumerate(wanted, 1):
            reason = undone(run, name, parameters[name])
            if reason is None:
                print(f"[{number}/{len(wanted)}] {name}: done before", flush=True)
                continue
            if not prepared:
                prepare(parameters, wanted[number - 1 :])
                prepared = True
            ahead = [later for later in wanted[number - 1 :] if later == name or undone(run, later, parameters[later])]
            minutes = None if parameters[name].get("ENGINE") == "replay" else outlook(ahead, profile)
            print(f"[{number}/{len(wanted)}] {name} ({reason}) · {to_go(minutes)}", flush=True)
            run_notebook(name, parameters[name], f"notebook {number} of {len(wanted)}", minutes)
    report(run, scored=NOTEBOOKS[-1] in wanted)
    if last < max(names):
        print("ENGINE=replay ends here: 04 and 05 need a model (run them with ENGINE=vllm)", flush=True)


def report(run: str, scored: bool) -> None:
    """Print the scores of a run that reached them just now or before, and where everything lies."""
    path = run_folder(run) / "05_evaluation" / "scores.json"
    if scored:
        scores = json.loads(path.read_text())
        print(f"\n{scores['table']}\n\n{scores['summary']}\n")
    print(f"Records, figures and executed notebooks: {shown(run_folder(run))}", flush=True)


def command_line() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.run", description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="study", help="study, or the number of a notebook with what it needs"
    )
    parser.add_argument("--profile", default="laptop")
    for option in ("run", "model", "engine"):
        parser.add_argument(f"--{option}", default="")
    return parser.parse_args()


def main() -> None:
    """Run the study or one notebook with what it needs."""
    arguments = command_line()
    names = [name for name in NOTEBOOKS if arguments.what in ("study", name, name[:2])]
    if not names:
        raise StudyError(f"{arguments.what!r} is neither study nor a notebook's number, 01 to 05")
    options = {"RUN": arguments.run, "MODEL": arguments.model, "ENGINE": arguments.engine}
    started = time.monotonic()
    run_study(names, arguments.profile, options)
    print(f"finished in {clock(time.monotonic() - started)}")


if __name__ == "__main__":
    command(main)

"""One stage of a run at work: what it reads, writes, counts and how long it takes; the manifest comes last."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.core.environment import environment
from lib.core.figures import Described
from lib.core.notebooks import check_types, parameter_defaults
from lib.core.paths import run_folder, shown
from lib.core.progress import clock, say
from lib.core.records import Record, StudyError, content_id, file_sha256, read_records, write_records, write_text
from lib.core.study import OPERATIONAL, only, read_manifest, reads, source_of, stage_of

TIME = "time.json"  # the seconds that executions of a stage took so far, killed ones included


HEARTBEAT = 5.0  # seconds between two writes of it


class Stopwatch:
    """Adds up the seconds of all executions of one question in a folder; a kill loses HEARTBEAT seconds at most."""

    def __init__(self, folder: Path, question: str) -> None:
        self.path, self.question, self.started = folder / TIME, question, time.monotonic()
        try:
            before = json.loads(self.path.read_text())
        except (OSError, ValueError):
            before = {}
        self.earlier = float(before["seconds"]) if before.get("question") == question else 0.0
        self._done = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def seconds(self) -> float:
        """Return the seconds so far."""
        return round(self.earlier + time.monotonic() - self.started, 1)

    def stop(self) -> float:
        """Stop, keep the sum and return it."""
        self._done.set()
        self._keep()
        return self.seconds()

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT):
            self._keep()

    def _keep(self) -> None:
        try:
            write_text(self.path, json.dumps({"question": self.question, "seconds": self.seconds()}) + "\n")
        except (OSError, StudyError):  # a full disk, or the folder is gone: the stage itself will say so
            self._done.set()


class StageRun:
    """One stage of a run at work: reads its parents' records, writes its own, and the manifest last."""

    def __init__(self, name: str, parameters: dict[str, Any]) -> None:
        self.name, self.parameters, self.run = name, parameters, str(parameters["RUN"])
        self.folder = run_folder(self.run) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.inputs: dict[str, str] = {}
        self.outputs: dict[str, Record] = {}
        self.funnel: list[Record] = []
        self.metrics: Record = {}
        self.reads = reads(name)
        asked = {key: value for key, value in parameters.items() if key not in OPERATIONAL}
        self.stopwatch = Stopwatch(self.folder, content_id(asked, self.reads))

    def path(self, file: str) -> Path:
        """Return the path of a file of this stage."""
        return self.folder / file

    def upstream(self, stage: str) -> Record:
        """Return the manifest of an earlier stage, "run:stage" for one of another run.

        StudyError when it has not finished.
        """
        run, name, _ = source_of(stage, self.run)
        manifest = read_manifest(run, name)
        if manifest is None:
            raise StudyError(f"{name} is not finished in run {run!r}: run make {name[:2]} RUN={run} first")
        return manifest

    def read(self, stage: str, file: str) -> list[Record]:
        """Return an earlier stage's records, remembered as an input; StudyError when they are not what it wrote."""
        return read_records(self.input(stage, file))

    def input(self, stage: str, file: str) -> Path:
        """Return the path of an earlier stage's file, remembered as an input; StudyError when it was altered since."""
        facts = self.upstream(stage)["outputs"].get(file)
        run, name, _ = source_of(stage, self.run)
        path = run_folder(run) / name / file
        if facts is None or not path.is_file() or file_sha256(path) != facts["sha256"]:
            raise StudyError(f"{path} is not what {name} wrote: run make {name[:2]} RUN={run} again")
        self.inputs[f"{stage}/{file}"] = facts["sha256"]
        return path

    def write(self, file: str, records: Iterable[Record]) -> None:
        """Write this stage's records whole, sorted by id, to be listed in the manifest."""
        write_records(self.path(file), records)
        self.keep(file)

    def keep(self, file: str) -> None:
        """List a file that is already written in the manifest."""
        path = self.path(file)
        self.outputs[file] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}

    def step(self, step: str, before: int, after: int, reasons: dict[str, int] | None = None, unit: str = "") -> None:
        """Add a row to the funnel; `reasons` must explain every record that went in and did not come out.

        StudyError when nothing came out, except where models are scored: there, nothing solved is a result.
        """
        reasons = {reason: count for reason, count in (reasons or {}).items() if count}
        if after < before and sum(reasons.values()) != before - after:
            raise ValueError(f"{step}: {before} in, {after} out, but the reasons explain {sum(reasons.values())}")
        self.funnel.append({"step": step, "in": before, "out": after, "reasons": reasons, "unit": unit})
        if not after and "scoring" not in stage_of(self.name).roles:
            raise nothing_left(step, before, reasons, unit)

    def save_figure(self, figure: Described, name: str, alt: str = "") -> Described:
        """Save a figure as figures/<name>.png in this stage's folder and return it, so that a cell can end with it.

        `alt` is the text for those who do not see it; without it, the figure says what stands on it.
        """
        figure.alt = alt
        path = self.path(f"figures/{name}.png")
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Software": ""})
        return figure

    def finish(self) -> Record:
        """Write manifest.json, after everything else: from now on the stage is done."""
        manifest = {
            "stage": self.name,
            "run": self.run,
            "parameters": self.parameters,
            "reads": self.reads,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "funnel": self.funnel,
            "metrics": self.metrics,
            "environment": environment(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": self.stopwatch.stop(),
        }
        write_text(self.path("manifest.json"), json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        say(f"{self.name} is done in {clock(manifest['seconds'])}; its records are in {shown(self.folder)}")
        return manifest


def nothing_left(step: str, before: int, reasons: Mapping[str, int], unit: str = "") -> StudyError:
    """Return the error of a step that leaves nothing, with the most frequent reasons."""
    frequent = [f"{reason}: {count:,}" for reason, count in Counter(reasons).most_common(5)]
    why = f"{before:,} {unit or 'records'} removed, most often {', '.join(frequent)}" if before else "nothing came in"
    return StudyError(f"nothing is left after {step!r} ({why}); loosen its parameters, or give the notebook more input")


def start(name: str, scope: dict[str, Any]) -> StageRun:
    """Begin a notebook's stage with the values its `parameters` cell has now; its old manifest goes.

    `scope` is the notebook's globals(). Raises StudyError for a parameter whose type is not its default's.
    """
    defaults = parameter_defaults(name)
    parameters = {key: scope[key] for key in defaults}
    check_types(name, parameters, defaults)
    stage = StageRun(name, parameters)
    stage.path("manifest.json").unlink(missing_ok=True)
    return stage


def tuned_here(stage: StageRun, run: str = "") -> Path:
    """Return the model that a run tuned (this stage's own by default), its weights among this stage's inputs."""
    training = f"{run}:{only('training')}" if run else only("training")
    weights = [file for file in stage.upstream(training)["outputs"] if file.endswith(".safetensors")]
    return [stage.input(training, file) for file in weights][0].parent


def tuned_like(stage: StageRun, run: str) -> Path:
    """Return the model that another run tuned on the same examples, its weights among this stage's inputs.

    Raises StudyError when that run's training is not finished or was given other examples.
    """
    training = only("training")
    theirs = stage.upstream(f"{run}:{training}")
    if theirs["inputs"] != stage.upstream(training)["inputs"]:
        raise StudyError(
            f"run {run!r} of OTHER_RUNS was tuned on other examples: copy run {stage.run!r} and run make "
            f"{training[:2]} with another SEED"
        )
    return tuned_here(stage, run)

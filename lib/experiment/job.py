"""An arm's folder: arm.json says what determines it, dataset.jsonl what it learns, as ids."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from lib.core.environment import environment
from lib.core.paths import ROOT, shown
from lib.core.records import Record, StudyError, content_id, read_records, write_records, write_text
from lib.experiment.dataset import texts
from lib.experiment.plan import MADE, Arm
from lib.experiment.plan_file import checked
from lib.experiment.pool import Made, Pool, read_json, read_made, read_pool, whole_or_packed

ARM, DATASET, SCORES = "arm.json", "dataset.jsonl", "scores.json"
HELD_OUT = "validation.jsonl"  # of all arms: a task, and the response whose tests judge answers to it
BEGUN = ("log.jsonl", "completions.jsonl")  # the first that a training and a scoring write
SPEED = ("engine", "max_seqs")  # of Scoring: how fast answers come, not what they are


def json_text(value: Record) -> str:
    """Return an object as it is written to a file."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Job:
    """An arm as it lies in its folder, for the processes that train and score it."""

    folder: Path
    facts: Record

    @cached_property
    def arm(self) -> Arm:
        """The arm."""
        return checked(self.facts["arm"], Arm, shown(self.folder / ARM))

    @cached_property
    def tasks(self) -> Pool:
        """The pool with the tasks, whose tests judge answers on the validation set."""
        return read_pool(ROOT / self.facts["places"]["tasks"])

    @cached_property
    def answers(self) -> Pool | Made:
        """What the arm learns from."""
        return learnt_from(self.facts)

    def examples(self) -> list[Record]:
        """Return the examples {id, instruction, response}; StudyError when the pool no longer gives the arm's own."""
        try:
            made = texts(self.answers, read_records(whole_or_packed(self.folder / DATASET) or self.folder / DATASET))
        except KeyError:  # what has that id is gone
            made = []
        if content_id(made) != self.facts["dataset"]:
            raise StudyError(
                f"{shown(self.answers.folder)} no longer has the examples of {shown(self.folder)}: restore it"
            )
        return made

    def held_out(self) -> dict[str, str]:
        """Return {task: the response with its tests} of the validation set; StudyError when it is not the arm's own."""
        path = self.folder.parent.parent / HELD_OUT
        found = {record["id"]: record["tests"] for record in read_records(path)}
        if content_id(found) != self.facts["validation"]:
            raise StudyError(
                f"{shown(path)} is not the one of {shown(self.folder)}: run the arms again with their plan"
            )
        return found


def learnt_from(facts: Record) -> Pool | Made:
    """Return the pool or the recipe's examples that an arm with these facts (ARM) learns from."""
    return (read_made if facts["arm"]["selection"] == MADE else read_pool)(ROOT / facts["places"]["answers"])


def read_job(folder: Path) -> Job:
    """Return the arm in a folder; StudyError when there is none."""
    return Job(folder, read_json(folder / ARM))


def write_job(arm: Arm, given: Record, tasks: Pool, answers: Pool | Made, dataset: Sequence[Record], out: Path) -> None:
    """Write an arm's folder, without a data set where there is nothing to learn.

    A scored arm of the same plan stays as it is; one that was begun keeps the code and packages that it was begun with.
    `given` are facts that determine it beside the arm, the pools and the data set. StudyError when an arm of another
    plan, pool, model or benchmark is there: it must not become another one unnoticed.
    """
    folder = arm.folder(out)
    facts = {
        "arm": asdict(arm),
        **given,
        "pools": {"tasks": tasks.identity, "answers": answers.identity},
        "dataset": content_id(texts(answers, dataset)),
    }
    asked = {name: value for name, value in asdict(arm.scoring).items() if name not in SPEED}
    identity = content_id(facts | {"arm": asdict(arm) | {"scoring": asked}})
    before = read_json(folder / ARM) if (folder / ARM).is_file() else {}
    if before and before["id"] != identity:
        raise StudyError(f"{shown(folder)} is of another plan, pool or model: delete it, or give another --out")
    if before and (folder / SCORES).is_file():
        return
    begun = before if any((folder / name).exists() for name in BEGUN) else {}
    if dataset:
        write_records(folder / DATASET, dataset)
    places = {"tasks": shown(tasks.folder), "answers": shown(answers.folder)}
    made = {"id": identity, **facts, "places": places, "examples": len(dataset)}
    made["environment"] = begun.get("environment") or environment()
    write_text(folder / ARM, json_text(made))

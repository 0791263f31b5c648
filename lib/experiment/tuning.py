"""Trains one arm: `python -m lib.experiment.tuning FOLDER` is a process of `lib.experiment.run`."""

import sys
from pathlib import Path

from lib.core.cli import command
from lib.core.models import resolve
from lib.core.records import write_text
from lib.experiment.job import Job, json_text, read_job
from lib.train.finetune import train
from lib.train.launch import end_with_parent


def tune(job: Job) -> None:
    """Fine-tune an arm's base on its data set; leaves model/, adapter/, log.jsonl and training.json.

    A killed training resumes from its last checkpoint, and a finished one is not repeated.
    """
    training = train(resolve(job.arm.base), job.examples(), job.arm.budget.training, job.folder)
    write_text(job.folder / "training.json", json_text(training.facts))


if __name__ == "__main__":
    end_with_parent()
    command(lambda: tune(read_job(Path(sys.argv[1]))))

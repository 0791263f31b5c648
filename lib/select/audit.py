"""An audit of the filter: what a reader says of programs that pass and of programs that fail, against the verdicts."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from lib.core.paths import ROOT
from lib.core.records import Record, content_id, read_records
from lib.core.statistics import Estimate, percentiles

# {id: `key` of a program, right: bool, why} for each program that has been read.
LABELS = ROOT / "data" / "audit" / "labels.jsonl"
SALT = "audit"  # draws by it do not depend on the order of a run's programs


def key(instruction: str, code: str) -> str:
    """Return what a label is about: a task's text and a program, whichever run made them."""
    return content_id(instruction, code)


def draw(
    programs: Sequence[Record], instructions: Mapping[str, str], passed: Collection[str], count: int
) -> list[Record]:
    """Return `count` different programs that passed and as many that did not, with `key` and `passed`.

    `programs` have id, code and tests, `instructions` their tasks' texts by the programs' ids. In an order by hash, so
    that a draw of more begins with those of a draw of fewer.
    """
    found: list[Record] = []
    for kind in (True, False):
        rows = {
            key(instructions[program["id"]], program["code"]): program
            for program in programs
            if (program["id"] in passed) is kind
        }
        order = sorted(rows, key=lambda name: content_id(SALT, name))[:count]
        found += [rows[name] | {"key": name, "passed": kind} for name in order]
    return found


def read_labels(path: Path = LABELS) -> dict[str, Record]:
    """Return the labels by key."""
    return {record["id"]: record for record in read_records(path)}


def worth(
    passing: tuple[int, int], failing: tuple[int, int], rate: float, resamples: int, seed: int
) -> tuple[Estimate, Estimate]:
    """Return the filter's precision and recall, each with a 95 % interval (Jeffreys' for each kind's share).

    `passing` and `failing` are (right, read) programs of each kind, at least one of each read; `rate` is the share of
    all programs that pass, by which the two kinds count. Precision: the share of passing programs that are right.
    Recall: the share of right programs that pass (0 where none is right).
    """
    rng = np.random.default_rng(seed)
    kinds = [(right / read, rng.beta(right + 0.5, read - right + 0.5, resamples)) for right, read in (passing, failing)]
    (precise, precisions), (lost, losses) = kinds

    def recall(precise: np.ndarray | float, lost: np.ndarray | float) -> np.ndarray:
        kept, missed = rate * np.asarray(precise), (1 - rate) * np.asarray(lost)
        return np.divide(kept, kept + missed, out=np.zeros_like(kept), where=kept + missed > 0)

    n = passing[1] + failing[1]
    return (
        Estimate(precise, *percentiles(precisions), passing[1]),
        Estimate(float(recall(precise, lost)), *percentiles(recall(precisions, losses)), n),
    )

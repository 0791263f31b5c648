"""The recorded arms in `data/reference/arms`: what is kept of an arm, and whether a second run of it agrees."""

import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from lib.core.paths import ROOT, shown
from lib.core.records import Record, StudyError, read_records, write_records
from lib.core.statistics import CONFIDENCE, holm
from lib.experiment.compare import VALIDATION, difference
from lib.experiment.job import ARM, DATASET, HELD_OUT, SCORES, read_job
from lib.experiment.pool import read_json, whole_or_packed

RECORDED = ROOT / "data" / "reference" / "arms"
WHOLE = (ARM, "training.json", SCORES)  # copied as they are; tables are gzipped
TABLES = (DATASET, "log.jsonl", "verdicts.jsonl")
LOSS = 0.02  # by which a held-out loss may differ, as a fraction: sums are in another order on another processor


class Check(NamedTuple):
    """One line: whether `what` of an arm is as recorded, and its figures."""

    fits: bool
    arm: str
    what: str
    said: str


def scored(out: Path) -> list[Path]:
    """Return the folders of the arms that are scored, in the order of their names."""
    return sorted(path.parent for path in out.glob(f"*/*/{SCORES}"))


def record(out: Path, target: Path = RECORDED) -> list[Path]:
    """Copy the records of all scored arms, without weights and texts of answers; return the arms' folders there.

    StudyError when none is scored, and when another validation set is recorded: arms on two of them cannot be compared.
    """
    found = scored(out)
    if not found:
        raise StudyError(f"{shown(out)} has no scored arm: run `make arms` first")
    held_out = read_records(out / HELD_OUT)
    recorded = target / f"{HELD_OUT}.gz"
    if recorded.is_file() and read_records(recorded) != held_out:
        raise StudyError(f"{shown(recorded)} is another validation set: delete the records of its arms first")
    write_records(recorded, held_out)
    for folder in found:
        place = target / folder.relative_to(out)
        place.mkdir(parents=True, exist_ok=True)
        for name in (name for name in TABLES if (folder / name).is_file()):
            write_records(place / f"{name}.gz", read_records(folder / name))
        for name in (name for name in WHOLE if (folder / name).is_file()):
            shutil.copyfile(folder / name, place / name)
    return [target / folder.relative_to(out) for folder in found]


def last_loss(folder: Path) -> float | None:
    """Return an arm's last loss on held-out examples; None where nothing was trained."""
    log = whole_or_packed(folder / "log.jsonl")
    losses = [row["held_out_loss"] for row in read_records(log) if "held_out_loss" in row] if log else []
    return losses[-1] if losses else None


def verify(out: Path, recorded: Path = RECORDED) -> list[Check]:
    """Return the checks of every scored arm that is also recorded.

    It must be the same arm; its last held-out loss must be within LOSS of the recorded one; and what it solves more or
    less on the benchmarks (a cell of the grid: on the validation set) must be inconclusive, by Holm's p over all arms.
    StudyError when no scored arm is recorded.
    """
    checks, differences = list[Check](), dict[str, Record]()
    for folder in scored(out):
        name = folder.relative_to(out).as_posix()
        there = recorded / name
        if not (there / SCORES).is_file():
            continue
        if read_json(folder / ARM)["id"] != read_json(there / ARM)["id"]:
            checks.append(Check(False, name, "arm", f"is of another plan, pool or model than {shown(there)}"))
            continue
        if (loss := last_loss(folder)) is not None:
            theirs = last_loss(there) or 0.0
            fits = abs(loss - theirs) <= LOSS * theirs
            checks.append(Check(fits, name, "held-out loss", f"{loss:.4f}, {theirs:.4f} there"))
        ours, theirs = read_json(folder / SCORES), read_json(there / SCORES)
        differences[name] = difference([ours], [theirs], VALIDATION if list(ours["sets"]) == [VALIDATION] else "")
    if not checks and not differences:
        raise StudyError(f"{shown(out)} has no scored arm that is recorded: run one of {shown(recorded)} first")
    adjusted = holm([found["p"] for found in differences.values()])
    return checks + [solved(name, found, p) for (name, found), p in zip(differences.items(), adjusted, strict=True)]


def consistent(recorded: Path = RECORDED) -> list[Check]:
    """Return the checks of every recorded arm against what it rests on, without a model.

    The pool must still give its examples, and its verdicts the numbers of correct answers in its scores.
    """
    checks = list[Check]()
    for folder in scored(recorded):
        name, facts = folder.relative_to(recorded).as_posix(), read_json(folder / ARM)
        if whole_or_packed(folder / DATASET):
            try:
                fits = bool(read_job(folder).examples())
            except StudyError:
                fits = False
            said = f"{facts['examples']} examples" + ("" if fits else f", not those of {facts['places']['answers']}")
            checks.append(Check(fits, name, "examples", said))
        passed = Counter[str]()
        for each in read_records(folder / "verdicts.jsonl.gz"):
            passed[each["id"].partition("#")[0]] += each["verdict"] == "pass"
        sets = read_json(folder / SCORES)["sets"]
        correct = {f"{each} {task}": n for each, of in sets.items() for task, n in of["correct"].items()}
        said = f"{sum(correct.values())} right answers, {passed.total()} by the verdicts"
        checks.append(Check(passed == Counter(correct), name, "scores", said))
    return checks


def solved(name: str, found: Record, p: float) -> Check:
    """Return the check of what an arm solved, problem by problem, against the recorded one."""
    said = f"{100 * found['difference']:+.1f} points ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"
    said += f", p = {p:.3f} (Holm) beside the recorded run, n = {found['n']}"
    return Check(p > 1 - CONFIDENCE, name, "solved", said)

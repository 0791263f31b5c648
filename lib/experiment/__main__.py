"""The commands of experiments, `python -m lib.experiment ...`: plan, run, choose, compare, record, verify, check."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lib.core.cli import FAILED, command
from lib.core.paths import ROOT, runs_folder, shown
from lib.core.records import StudyError, write_text
from lib.experiment.compare import VALIDATION, compare, in_words, rates, scores_of
from lib.experiment.figures import differences
from lib.experiment.job import json_text
from lib.experiment.plan import UNTRAINED, Plan
from lib.experiment.plan_file import PLAN, fill, read_plan
from lib.experiment.pool import read_pool
from lib.experiment.power import detectable, noise
from lib.experiment.records import RECORDED, Check, consistent, record, verify
from lib.experiment.run import run


def power(plan: Plan, path: Path, out: Path, write: bool) -> None:
    """Print what the pools offer and what each question can show; put that into the plan if asked."""
    for name, folder in plan.pools.items():
        try:
            pool = read_pool(ROOT / folder)
        except StudyError as error:  # a later one may still have to be recorded
            print(f"{name}: {error}")
            continue
        solved = sum(count > 0 for count in pool.solved().values())
        said = f"{len(pool.tasks)} tasks, {len(pool.responses)} well-ended responses, {len(pool.named('passing'))} pass"
        print(f"{name}: {said}; {solved} tasks are solved, {len(pool.divided())} have passing and failing ones")
    cell, between, source = noise(plan, out)
    print(f"detectable with 80 %, in points, from {source}:")
    for question in plan.questions:
        bare = UNTRAINED in (plan.arms[question.better].selection, plan.arms[question.worse].selection)
        least = detectable(cell, question.problems, question.seeds, between, len(plan.questions), bare)
        print(f"  {question.id}: {100 * least:.1f} ({question.problems} x {question.samples} x {question.seeds})")
        if write:
            fill(path, f"id: {question.id}", "detectable", f"{least:.4f}")


def choose(plan: Plan, path: Path, out: Path, write: bool) -> None:
    """Print the grid by its score on the validation set, and freeze the best cell in the plan if asked.

    Equal ones: the fewer epochs, then the lower rate. StudyError while a cell is not scored.
    """
    found = {cell: scores_of([arm], out) for cell, arm in plan.cells().items()}
    if lacking := [plan.cells()[cell].name for cell, scores in found.items() if not scores]:
        raise StudyError(f"{lacking[0]} is not scored yet: run `make arms ARMS=grid` first")
    solved = {cell: sum(rates(scores[0], VALIDATION).values()) for cell, scores in found.items()}
    order = sorted(solved, key=lambda cell: (-solved[cell], cell.epochs, cell.learning_rate))
    for cell in order:
        print(f"learning_rate {cell.learning_rate:g}, epochs {cell.epochs}: {solved[cell]:.1f} validation tasks solved")
    if write:
        value = f"{{learning_rate: {order[0].learning_rate:g}, epochs: {order[0].epochs}}}"
        fill(path, "grid:", "chosen", value)


def answer(plan: Plan, out: Path) -> None:
    """Compare what is scored: print it, and write comparison.json, comparison.md and differences.png."""
    result = compare(plan, out)
    said = in_words(plan, result)
    write_text(out / "comparison.json", json_text(result))
    write_text(out / "comparison.md", said)
    if found := [row for row in (result["controls"], *result["questions"]) if row]:
        differences(found, "What arms solve more than others").savefig(
            out / "differences.png", metadata={"Software": ""}
        )
    print(said)


def told(checks: Sequence[Check], what: str) -> int:
    """Print checks, one line each, and how many there were of `what`; return the exit status."""
    for check in checks:
        print(f"{'ok' if check.fits else '!!'}  {check.arm:<22}  {check.what}: {check.said}")
    print(f"{len(checks)} checks of {what}")
    return FAILED if not all(check.fits for check in checks) else 0


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.experiment", description=__doc__)
    parser.add_argument("what", choices=("plan", "run", "choose", "compare", "record", "verify", "check"))
    parser.add_argument("--plan", type=Path, default=PLAN)
    parser.add_argument("--out", type=Path, help=f"by default {shown(runs_folder())}/experiments/arms")
    parser.add_argument("--arms", default="", help="names of the plan, with commas, or grid; all when left out")
    parser.add_argument("--seed", type=int, default=0, help="for run: only the trainings with this seed")
    parser.add_argument("--recorded", action="store_true", help="for run: only what is recorded in data/reference/arms")
    parser.add_argument("--keep-weights", action="store_true", help="for run: do not delete a model that is scored")
    parser.add_argument("--write", action="store_true", help="for plan and choose: put the values into the plan")
    given = parser.parse_args(words)
    plan, out = read_plan(given.plan), given.out or runs_folder() / "experiments" / "arms"
    match given.what:
        case "plan":
            power(plan, given.plan, out, given.write)
        case "choose":
            choose(plan, given.plan, out, given.write)
        case "compare":
            answer(plan, out)
        case "run":
            names, among = [name for name in given.arms.split(",") if name], RECORDED if given.recorded else None
            run(plan, names, out, given.seed, among, given.keep_weights)
        case "record":
            print(*map(shown, record(out)), sep="\n")
        case "verify":
            return told(verify(out), f"arms in {shown(out)} against the recorded ones")
        case "check":
            return told(consistent(), "the recorded arms against their pools and verdicts")
    return 0


if __name__ == "__main__":
    command(main)

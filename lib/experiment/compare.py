"""From scored arms to answers: the controls first, then each question beside the paper, in words the plan fixed."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice, takewhile
from pathlib import Path

import numpy as np

from lib.core import markdown
from lib.core.paths import shown
from lib.core.records import Record, StudyError
from lib.core.statistics import CONFIDENCE, holm, percentiles, resampled_seeds, two_sided
from lib.evaluate import claims
from lib.experiment.job import ARM, SCORES
from lib.experiment.plan import Arm, Plan
from lib.experiment.pool import read_json

RESAMPLES, SEED = 10_000, 0
VALIDATION = "validation"
UNFINISHED = "unfinished"  # the verdict of a question whose trainings are not all scored
Scored = Mapping[str, Sequence[Record]]  # arm -> scores of its seeds, in the plan's order


def scores_of(arms: Sequence[Arm], out: Path, partly: bool = False) -> list[Record]:
    """Return the scores of arms in order; StudyError for scores of another arm.

    While one is not scored: none, or with `partly` those before it.
    """
    folders = list(takewhile(lambda folder: (folder / SCORES).is_file(), (arm.folder(out) for arm in arms)))
    if len(folders) < len(arms) and not partly:
        return []
    found = [read_json(folder / SCORES) for folder in folders]
    for folder, scores in zip(folders, found, strict=True):
        if read_json(folder / ARM)["id"] != scores["id"]:
            raise StudyError(
                f"{shown(folder / SCORES)} is not of the arm in its folder: delete it and run the arm again"
            )
    return found


def rates(scores: Record, name: str = "") -> dict[str, float]:
    """Return the share of correct answers to each problem of a set; "" takes all benchmarks together."""
    sets = [name] if name else [each for each in scores["sets"] if each != VALIDATION]
    found = [(each, scores["sets"][each]) for each in sets]
    return {f"{each} {task}": n / of["answers"] for each, of in found for task, n in of["correct"].items()}


def difference(better: Sequence[Record], worse: Sequence[Record], name: str = "") -> Record:
    """Return what one arm solves more than another on a set, as fractions: its mean, interval and p, and of each seed.

    Training seeds are paired in order; an arm with one only, as the untrained model, stands beside each of the other's.
    The p-value is that of the bootstrap from which the interval is. StudyError when they answered different problems.
    """
    pairs = max(len(better), len(worse))
    sides = [[rates(each, name) for each in islice(cycle(side), pairs)] for side in (better, worse)]
    problems = sorted(sides[0][0])
    if any(sorted(each) != problems for side in sides for each in side):
        raise StudyError(f"{better[0]['name']} and {worse[0]['name']} were asked different problems: score them alike")
    values = [[one[task] - other[task] for task in problems] for one, other in zip(*sides, strict=True)]
    means = resampled_seeds(values, RESAMPLES, SEED)  # those of `estimate_seeds`
    low, high = percentiles(means)
    return {
        "better": better[0]["name"], "worse": worse[0]["name"], "difference": float(np.mean(values)), "low": low,
        "high": high, "p": two_sided(means), "n": len(problems), "seeds": [float(np.mean(row)) for row in values],
    }  # fmt: skip


def compare(plan: Plan, out: Path) -> Record:
    """Return the controls' difference, each question's with its verdict, and the arms' scores; None where unscored.

    A verdict is a key of the question's conclusions: "above" or "below" when Holm's p over all questions of the plan
    is 0.05 or less, else "inconclusive". While some of the trainings are not scored, a difference is of those that are
    (`planned` says of how many), its verdict is UNFINISHED, and its p is not looked at: that of 1 counts among Holm's.
    """
    scored: Scored = {
        name: scores_of([arm for arm in arms_of(plan) if arm.name == name], out, partly=True) for name in plan.arms
    }
    control = plan.controls

    def asked(better: str, worse: str) -> Record | None:
        pair = better, worse
        planned = max(len(plan.arms[name].seeds) for name in pair)
        there = min(len(scored[name]) for name in pair if len(plan.arms[name].seeds) == planned)
        first, second = (scored[name][:there] for name in pair)
        if not first or not second:
            return None
        sets = {name: difference(first, second, name) for name in first[0]["sets"]}
        whole = all(len(scored[name]) == len(plan.arms[name].seeds) for name in pair)
        return difference(first, second) | {"planned": planned, "whole": whole, "sets": sets}

    found = [asked(question.better, question.worse) for question in plan.questions]
    adjusted = holm([row["p"] if row and finished(row) else 1.0 for row in found])
    for question, row, p in zip(plan.questions, found, adjusted, strict=True):
        if row is not None:
            row |= {"id": question.id, "asks": question.asks, "holm": p, "detectable": question.detectable}
            row["paper"] = question.paper and (question.paper.better - question.paper.worse) / 100
            row["verdict"] = "inconclusive" if p > 1 - CONFIDENCE else "above" if row["difference"] > 0 else "below"
            row["verdict"] = row["verdict"] if finished(row) else UNFINISHED
            row["conclusion"] = getattr(question.conclude, row["verdict"], "")
    arms = [arm_row(scores) for seeds in scored.values() for scores in seeds]
    return {"controls": asked(control.positive, control.negative), "questions": found, "arms": arms}


def trainings(row: Record) -> str:
    """Return in words how many of the planned trainings a difference is of."""
    return f"{len(row['seeds'])} of {row['planned']} trainings" + ("" if finished(row) else " so far")


def finished(row: Record) -> bool:
    """Return whether all trainings that the plan has of both arms are scored."""
    return row["whole"]


def arms_of(plan: Plan) -> list[Arm]:
    """Return all arms of a plan but the grid's cells; trained ones only once a cell is chosen."""
    return [arm for arm in plan.select() if arm.name in plan.arms]


def arm_row(scores: Record) -> Record:
    """Return an arm's solved share of every set, and what its answers look like on the validation set."""
    solved = {name: float(np.mean(list(rates(scores, name).values()))) for name in scores["sets"]}
    return {"name": scores["name"], "seed": scores["seed"], "solved": solved, **scores["sets"][VALIDATION]["style"]}


def points(value: float | None) -> str:
    """Return a difference in percentage points; "" for none."""
    return "" if value is None else f"{100 * value:+.1f}"


def controls_in_words(row: Record | None) -> str:
    """Return whether the experiment can see anything, which is said before all else."""
    if row is None:
        return "The controls are not scored yet: whether this experiment can see anything is not known."
    said = f"{points(row['difference'])} points, 95 % interval {points(row['low'])} to {points(row['high'])}"
    pair = f"{row['better']} against {row['worse']}: {said}, n = {row['n']}"
    if not finished(row):
        return f"The controls are not finished ({trainings(row)}; {pair}): what this experiment can see is not known."
    if row["low"] > 0:
        return f"The controls part ({pair}): this experiment can see a difference between data sets."
    return f"**The controls do not part ({pair}): this experiment sees nothing, whatever the questions below say.**"


def questions_in_words(plan: Plan, result: Record) -> str:
    """Return the questions as a Markdown table beside the paper, and what the plan concludes from those finished."""
    heads = ["question", "difference", "95 % interval", "p (Holm)", "each seed", "paper", "could show", "verdict"]
    rows, said = [], []
    for question, row in zip(plan.questions, result["questions"], strict=True):
        if row is None:
            rows.append([question.id, "not scored yet", *[""] * 6])
            continue
        seeds = ", ".join(map(points, row["seeds"]))
        cells = [
            points(row["difference"]),
            f"{points(row['low'])} to {points(row['high'])}",
            f"{row['holm']:.3f}" if finished(row) else "",
            seeds,
        ]
        least = "not stated" if row["detectable"] is None else f"{100 * row['detectable']:.1f}"
        verdict = row["verdict"] if finished(row) else f"{UNFINISHED}: {trainings(row)}"
        rows.append([question.id, *cells, points(row["paper"]), least, verdict])
        if row["conclusion"]:
            said.append(f"- {question.asks} {row['conclusion']}")
    return "\n\n".join(filter(None, [markdown.table(heads, "lrrrrrrl", rows), "\n".join(said)]))


def arms_in_words(result: Record) -> str:
    """Return what every scored arm solves and what its answers look like, as a Markdown table."""
    sets = list(dict.fromkeys(name for arm in result["arms"] for name in arm["solved"]))
    arms = [
        [
            arm["name"],
            arm["seed"],
            *(f"{100 * arm['solved'][name]:.1f}" if name in arm["solved"] else "" for name in sets),
        ]
        + [f"{arm['words']:.0f}", f"{arm['comments']:.0%}", f"{arm['docstrings']:.0%}"]
        for arm in result["arms"]
    ]
    names = ["arm", "seed", *(f"{name} (%)" for name in sets), "words", "with comments", "with docstrings"]
    return markdown.table(names, "lr" + "r" * (len(names) - 2), arms)


def in_words(plan: Plan, result: Record) -> str:
    """Return a comparison as Markdown: controls, questions beside the paper with their conclusions, arms and style."""
    parts = [controls_in_words(result["controls"]), questions_in_words(plan, result), arms_in_words(result)]
    return "\n\n".join(parts) + "\n"


def judged_claims(plan: Plan, result: Record, paper: Record) -> list[Record]:
    """Return the rows of `claims.table` for the paper's claims that the plan's questions ask, by their id.

    A claim holds where the verdict is "above" and does not where it is "below": it is about the direction. Without
    controls that part it is inconclusive.
    """
    verdicts, made = {"above": claims.HOLDS, "below": claims.FAILS}, list[Record]()
    control = result["controls"]
    sees = control is not None and finished(control) and control["low"] > 0
    asked = {question.id: row for question, row in zip(plan.questions, result["questions"], strict=True)}
    for claim in (claim for claim in paper["claims"] if claim["id"] in asked):
        row = asked[claim["id"]]
        if row is None:
            made.append(claims.row_of(claim, "", claims.INCONCLUSIVE, "its arms are not scored yet", plan.base))
            continue
        sets = " and ".join(name for name in row["sets"] if name != VALIDATION)
        interval = f"{points(row['low'])} to {points(row['high'])}"
        ours = f"{points(row['difference'])} points ({interval}) on {sets}, n = {row['n']}"
        why = trainings(row) + (f", p = {row['holm']:.3f} (Holm)" if finished(row) else "")
        why += "" if sees else "; the controls were not shown to part"
        verdict = verdicts.get(row["verdict"], claims.INCONCLUSIVE) if sees else claims.INCONCLUSIVE
        made.append(claims.row_of(claim, ours, verdict, why, plan.base))
    return made

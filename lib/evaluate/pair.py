"""Two graded files side by side: who solves more, what is gained and lost, and how small a difference could show."""

import json
from collections.abc import Mapping
from pathlib import Path

from lib.core.records import Record, StudyError
from lib.core.statistics import POWER, Comparison, Estimate, compare, estimate

LISTED = 10  # problems that are named of those gained, and of those lost


def read_outcomes(path: Path) -> dict[str, float]:
    """Return the share of correct answers to each problem in a file that `grade` or EvalPlus wrote.

    `grade` writes lines with task_id and passed. EvalPlus's eval_results.json counts as correct what passes all tests
    that it ran: base and plus, or base alone where it was run so. StudyError for any other file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}; give a file that grade or EvalPlus wrote") from None
    try:
        whole = json.loads(text) if path.suffix == ".json" else None
        found = of_evalplus(whole) if whole else of_lines(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StudyError(
            f"{path} is neither: `grade` writes lines with task_id and passed, EvalPlus an eval_results.json"
        ) from None
    if not found:
        raise StudyError(f"{path} has no graded answer")
    return {task: sum(each) / len(each) for task, each in found.items()}


def of_lines(text: str) -> dict[str, list[bool]]:
    """Return the outcomes by task of lines that `grade` wrote."""
    found: dict[str, list[bool]] = {}
    for record in map(json.loads, filter(str.strip, text.splitlines())):
        found.setdefault(record["task_id"], []).append(bool(record["passed"]))
    return found


def of_evalplus(whole: Record) -> dict[str, list[bool]]:
    """Return the outcomes by task of EvalPlus's eval_results.json."""
    return {
        task: [
            answer["base_status"] == "pass" and (answer.get("plus_status") or "pass") == "pass" for answer in answers
        ]
        for task, answers in whole["eval"].items()
    }


def report(names: tuple[str, str], first: Mapping[str, float], second: Mapping[str, float], resamples: int) -> str:
    """Return the comparison of two files in words; StudyError where they have no problem in common."""
    both = [task for task in first if task in second]
    if not both:
        raise StudyError(f"{names[0]} and {names[1]} have no problem in common")
    sides = [[each[task] for task in both] for each in (first, second)]
    width = max(map(len, names))
    lines = [
        f"{name:{width}}  pass@1 {said(estimate(side, resamples, 0))}" for name, side in zip(names, sides, strict=True)
    ]
    found = compare(*sides, resamples, 0)
    lines.append(f"{'difference':{width}}  {difference(found)}")
    if not found.rates:
        least = "no difference" if found.detectable is None else f"{100 * found.detectable:.1f} points or more"
        lines.append(f"with so many flips, {least} would be found with a probability of {100 * POWER:.0f} %")
    for what, sign in (("gained", 1), ("lost", -1)):
        tasks = [task for task in both if (second[task] - first[task]) * sign > 0]
        lines.append(f"{len(tasks)} {what}: {', '.join(tasks[:LISTED])}{', ...' if len(tasks) > LISTED else ''}")
    for name, own in zip(names, (first, second), strict=True):
        if alone := len(own) - len(both):
            lines.append(f"{alone} problems are only in {name} and are left out")
    return "\n".join(lines)


def said(value: Estimate) -> str:
    """Return a mean with its interval, in percent."""
    return f"{100 * value.value:.1f} % (95 % interval {100 * value.low:.1f} to {100 * value.high:.1f}, n = {value.n})"


def difference(found: Comparison) -> str:
    """Return a paired difference with its interval and p-value."""
    interval = f"95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    test, p = "sign test" if found.rates else "McNemar", "< 0.001" if found.p < 0.001 else f"= {found.p:.3f}"
    return f"{100 * found.difference:+.1f} points ({interval}), {test} p {p}, n = {found.n}"

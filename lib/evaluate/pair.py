"""Two graded files side by side: who solves more, what is gained and lost, and how small a difference could show."""

import gzip
import json
import zlib
from pathlib import Path
from typing import NamedTuple

from lib.core.records import Record, StudyError
from lib.core.statistics import POWER, Comparison, Estimate, compare, estimate

UTF8 = "utf-8-sig"  # Windows begins a file of UTF-8 with a byte order mark
LISTED = 10  # problems that are named of those gained, and of those lost


class Outcomes(NamedTuple):
    """A graded file: the share of correct answers to each problem, and whether EvalPlus's further tests were run."""

    rates: dict[str, float]
    plus: bool


def read_outcomes(path: Path) -> Outcomes:
    """Return what a file says that `grade` or EvalPlus wrote, gzipped or not.

    `grade` writes lines with task_id and passed. EvalPlus's eval_results.json counts as correct what passes all tests
    that were run: base and plus, or base alone. StudyError for any other file.
    """
    try:
        with gzip.open(path, "rt", encoding=UTF8) if path.suffix == ".gz" else path.open(encoding=UTF8) as file:
            text = file.read()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}; give a file that grade or EvalPlus wrote") from None
    try:
        found, plus = of_lines(text) if text.lstrip().startswith('{"task_id"') else of_evalplus(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StudyError(
            f"{path} is neither: `grade` writes lines with task_id and passed, EvalPlus an eval_results.json"
        ) from None
    rates = {task: sum(each) / len(each) for task, each in found.items() if each}
    if not rates:
        raise StudyError(f"{path} has no graded answer")
    return Outcomes(rates, plus)


def of_lines(text: str) -> tuple[dict[str, list[bool]], bool]:
    """Return the outcomes by task of lines that `grade` wrote, and whether plus tests were run."""
    found, plus = dict[str, list[bool]](), False
    for record in map(json.loads, filter(str.strip, text.splitlines())):
        found.setdefault(record["task_id"], []).append(bool(record["passed"]))
        plus |= record.get("plus") is not None
    return found, plus


def of_evalplus(whole: Record) -> tuple[dict[str, list[bool]], bool]:
    """Return the outcomes by task of EvalPlus's eval_results.json, and whether plus tests were run."""
    statuses = {
        task: [(answer["base_status"], answer.get("plus_status")) for answer in answers]
        for task, answers in whole["eval"].items()
    }
    plus = any(more is not None for each in statuses.values() for _, more in each)
    return {task: [base == "pass" and more in ("pass", None) for base, more in e] for task, e in statuses.items()}, plus


def report(names: tuple[str, str], one: Outcomes, other: Outcomes, resamples: int) -> str:
    """Return the comparison of two files in words.

    StudyError where they have no problem in common, or only one was graded with EvalPlus's further tests.
    """
    if one.plus != other.plus:
        strict, lax = names if one.plus else names[::-1]
        raise StudyError(f"{strict} was graded with plus tests and {lax} without: grade both with the same tests")
    first, second = one.rates, other.rates
    both = [task for task in first if task in second]
    if not both:
        raise StudyError(f"{names[0]} and {names[1]} have no problem in common")
    sides = [first[task] for task in both], [second[task] for task in both]
    width = max(map(len, names))
    lines = [
        f"{name:{width}}  pass@1 {said(estimate(side, resamples, 0))}" for name, side in zip(names, sides, strict=True)
    ]
    found = compare(sides[0], sides[1], resamples, 0)
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

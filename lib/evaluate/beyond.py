"""Scores of benchmarks that say several things about a model, before and after: each under the paper's name for it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from lib.core import markdown
from lib.core.records import Record, StudyError
from lib.core.statistics import compare, estimate
from lib.evaluate.benchmark import Benchmark
from lib.evaluate.benchmarks.classeval import STRATEGIES
from lib.evaluate.claims import read_claims

# How the paper asks: samples, temperature, top_p, and tokens of an answer at most (sections 3.1 to 3.4; the tokens of
# LiveCodeBench and EvalPerf, which it does not give, are the official harnesses').
PAPER: dict[str, Record] = {
    "livecodebench": {"samples": 1, "temperature": 0.0, "top_p": 1.0, "max_tokens": 2000},
    "classeval": {"samples": 1, "temperature": 0.0, "top_p": 1.0, "max_tokens": 2048},
    "ds1000": {"samples": 40, "temperature": 0.2, "top_p": 0.95, "max_tokens": 1024},
    "canitedit": {"samples": 20, "temperature": 0.2, "top_p": 0.95, "max_tokens": 2048},
    "evalperf": {"samples": 100, "temperature": 1.0, "top_p": 1.0, "max_tokens": 2048},
}
CLASSES = tuple(f"ClassEval {strategy} classes" for strategy in STRATEGIES)
Values = Mapping[str, float]  # of tasks


class Sampled(NamedTuple):
    """A benchmark and the graded samples of each model, by its label."""

    benchmark: Benchmark
    samples: Mapping[str, Sequence[Record]]


def decoding(asked: Mapping[str, Record], name: str) -> Record:
    """Return the arguments of `ask` for a benchmark: the paper's, and what `asked` has for it instead.

    `name` may have a version or a strategy, livecodebench@release_v5 or classeval-incremental. StudyError for a
    benchmark or an argument that is not in PAPER.
    """
    known = next((key for key in PAPER if name.partition("@")[0].partition("-")[0] == key), None)
    if known is None:
        raise StudyError(f"{name} is not scored in notebook 06: choose {', '.join(PAPER)}, or a strategy of classeval")
    wrong = [key for key in asked if key not in PAPER]
    wrong += [f"{key}: {name}" for key in asked if key in PAPER for name in asked[key] if name not in PAPER[key]]
    if wrong:
        takes = f"{', '.join(PAPER)}, each with {', '.join(PAPER[known])}"
        raise StudyError(f"DECODING has {wrong[0]}: it takes {takes}")
    return PAPER[known] | dict(asked.get(known, {}))


def scored(found: Sequence[Sampled], resamples: int, seed: int) -> tuple[list[Record], dict[str, Record]]:
    """Return (rows of scores, comparisons by name) in the form that `lib.evaluate.claims` judges.

    One row for each name of a benchmark's `values` and each model: pass@1 is the mean over tasks with its interval.
    Comparisons are paired, over the tasks that both models have a value for; each model is compared with `after`.
    """
    values: dict[str, dict[str, Values]] = {}  # by name and model
    facts: dict[tuple[str, str], Record] = {}
    for benchmark, samples in found:
        about = {key: getattr(benchmark, key) for key in ("version", "sha256", "md5")}
        for label, theirs in samples.items():
            late = sum(sample["verdict"] == "timeout" for sample in theirs)
            for name, by_task in benchmark.values(theirs).items():
                if by_task:
                    values.setdefault(name, {})[label] = by_task
                    facts[name, label] = {"model": label, "benchmark": name, **about, "timeouts": late}
    add_best_strategy(values, facts)
    rows, comparisons = [], {}
    for name, models in values.items():
        for label, by_task in models.items():
            rows.append(facts[name, label] | {"pass@1": asdict(estimate([*by_task.values()], resamples, seed))})
        for label in (label for label in models if label != "after" and "after" in models):
            before, after = models[label], models["after"]
            if common := [task for task in before if task in after]:
                sides = [[one[task] for task in common] for one in (before, after)]
                paired = compare(sides[0], sides[1], resamples, seed)
                about = {"detectable": paired.detectable, "benchmark": name, "models": [label, "after"]}
                comparisons[f"{name}, {label} to after"] = asdict(paired) | about
    return rows, comparisons


def add_best_strategy(values: dict[str, dict[str, Values]], facts: dict[tuple[str, str], Record]) -> None:
    """Add "ClassEval classes" and "ClassEval methods": each model's strategy that solves most classes, as in the paper.

    The maximum of several is optimistic; `strategy` in the facts says which it is.
    """
    by_strategy = {name.split()[1]: models for name, models in values.items() if name in CLASSES}
    for label in dict.fromkeys(label for models in by_strategy.values() for label in models):
        solved = {which: sum(models[label].values()) for which, models in by_strategy.items() if label in models}
        best = max(solved, key=lambda which: solved[which])
        for what in ("classes", "methods"):
            source, name = f"ClassEval {best} {what}", f"ClassEval {what}"
            values.setdefault(name, {})[label] = values[source][label]
            facts[name, label] = facts[source, label] | {"benchmark": name, "strategy": best}


def table(rows: Sequence[Record], comparisons: Mapping[str, Record]) -> str:
    """Return scores before and after beside the paper's (CodeQwen1.5-7B) as a Markdown table, in percent."""
    stated = {
        value["benchmark"]: f"{value['worse']} to {value['better']}" if "worse" in value else f"{value['better']} after"
        for name in ("tuned-beyond-value", "tuning-helps-beyond-functions")  # the first has EvalPerf, too
        for claim in read_claims()["claims"]
        if claim["id"] == name
        for value in claim["values"]
    }
    found = {(row["model"], row["benchmark"]): row["pass@1"] for row in rows}
    lines = []
    for name in dict.fromkeys(row["benchmark"] for row in rows):
        ends = [found.get((label, name)) for label in ("before", "after")]
        cells = [
            f"{100 * end['value']:.1f} ({100 * end['low']:.1f} to {100 * end['high']:.1f})" if end else ""
            for end in ends
        ]
        paired = comparisons.get(f"{name}, before to after")
        change = (
            f"{100 * paired['difference']:+.1f} ({100 * paired['low']:+.1f} to {100 * paired['high']:+.1f})"
            if paired
            else ""
        )
        n = (paired or next(end for end in ends if end))["n"]
        lines.append([name, n, *cells, change, stated.get(name, "")])
    heads = ["what is scored (%)", "n", "before", "after", "after less before", "the paper's"]
    return markdown.table(heads, "lrrrrr", lines)

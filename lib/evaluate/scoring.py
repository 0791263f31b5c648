"""From graded samples to pass@k with its interval, and scores as a table to be read."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

from lib.core import markdown
from lib.core.records import Record, StudyError
from lib.core.statistics import estimate, pass_at_k
from lib.evaluate.benchmark import Benchmark


def score(
    benchmark: Benchmark, samples: Sequence[Record], resamples: int, seed: int, ks: Sequence[int] = (1,)
) -> Record:
    """Return pass@k for each of `ks` with its interval over problems, the verdicts, and what exactly was scored.

    For one with base and plus inputs also pass@1 of its base ones; for one with known faults also the pass@1 that its
    own harness would report; for each of its `measures` the mean, over a task's samples that have one, then over tasks
    that have any. StudyError when a task has fewer than k samples.
    """
    rows: dict[str, list[Record]] = {}
    for sample in samples:
        rows.setdefault(sample["task_id"], []).append(sample)

    def rate(k: int, passed: Callable[[Record], bool]) -> Record:
        if few := next((task for task, found in rows.items() if len(found) < k), None):
            raise StudyError(f"pass@{k} needs {k} samples per task; {few} has {len(rows[few])}")
        values = [pass_at_k(len(found), sum(map(passed, found)), k) for found in rows.values()]
        return asdict(estimate(values, resamples, seed))

    verdicts = Counter(sample["verdict"] for sample in samples)
    facts: Record = {
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "sha256": benchmark.sha256,
        "md5": benchmark.md5,
        **{f"pass@{k}": rate(k, lambda sample: sample["passed"]) for k in ks},
        "samples": len(samples),
        "timeouts": verdicts["timeout"],
        "broken references": sum(sample["broken_reference"] for sample in samples),
        "verdicts": dict(sorted(verdicts.items())),
        "tiers": sorted({sample["tier"] for sample in samples}),
    }
    if any("plus" in sample for sample in samples):
        facts["base pass@1"] = rate(1, lambda sample: sample["base"] == "pass")
    if benchmark.faults:
        fixed = sorted({sample["task_id"] for sample in samples if sample["passed"]} & set(benchmark.faults))
        as_published = rate(1, lambda sample: sample["passed"] and sample["task_id"] not in fixed)
        facts["unmended"] = {"pass@1": as_published["value"], "tasks": {task: benchmark.faults[task] for task in fixed}}
    for name in benchmark.measures:
        known = [[sample[name] for sample in found if sample.get(name) is not None] for found in rows.values()]
        means = [sum(values) / len(values) for values in known if values]
        facts[name] = asdict(estimate(means, resamples, seed)) if means else None
    return facts


def ks_of(facts: Record) -> list[int]:
    """Return the k of every pass@k in a score, in order."""
    return sorted(int(name.removeprefix("pass@")) for name in facts if name.startswith("pass@"))


def table(scores: Sequence[Record]) -> str:
    """Return scores (as `lib.evaluate.scoring` makes them, each with a `model`) as a Markdown table, in percent."""
    ks = sorted({k for row in scores for k in ks_of(row)})
    heads = [name for k in ks for name in (f"pass@{k} (%)", "95 % interval")]
    lines = []
    for row in scores:
        cells = [row["model"], f"{row['benchmark']} ({row['version']})", row[f"pass@{ks_of(row)[0]}"]["n"]]
        for k in ks:
            found = row.get(f"pass@{k}")
            value, low, high = (f"{100 * found[key]:.1f}" for key in ("value", "low", "high")) if found else [""] * 3
            cells += [value, f"{low} to {high}" if found else ""]
        lines.append([*cells, row["timeouts"]])
    return markdown.table(["model", "benchmark", "n", *heads, "timeouts"], "ll" + "r" * (len(heads) + 2), lines)

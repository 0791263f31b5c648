"""Scores as a table to be read."""

from collections.abc import Sequence

from lib import markdown
from lib.records import Record


def known(facts: Record) -> list[int]:
    """Return the k of every pass@k that a score has, in order."""
    return sorted(int(name.removeprefix("pass@")) for name in facts if name.startswith("pass@"))


def table(scores: Sequence[Record]) -> str:
    """Return scores (as `lib.evaluate.score` makes them, each with a `model`) as a Markdown table, in percent."""
    ks = sorted({k for row in scores for k in known(row)})
    heads = [name for k in ks for name in (f"pass@{k} (%)", "95 % interval")]
    lines = []
    for row in scores:
        cells = [row["model"], f"{row['benchmark']} ({row['version']})", row[f"pass@{known(row)[0]}"]["n"]]
        for k in ks:
            found = row.get(f"pass@{k}")
            value, low, high = (f"{100 * found[key]:.1f}" for key in ("value", "low", "high")) if found else [""] * 3
            cells += [value, f"{low} to {high}" if found else ""]
        lines.append([*cells, row["timeouts"]])
    return markdown.table(["model", "benchmark", "n", *heads, "timeouts"], "ll" + "r" * (len(heads) + 2), lines)

"""Figures of experiments: differences between arms beside the paper's, what matching does, style beside score."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from lib.core.figures import PALETTE, Described, subplots
from lib.core.records import Record


def differences(rows: Sequence[Record], title: str) -> Described:
    """Draw each difference (rows of `compare`, with `detectable` and `paper` where there are any), in points.

    A small dot is a training seed, the bar the mean with its 95 % interval, the hollow diamond the paper's effect; in
    the grey band a difference is too small to be found four times in five.
    """
    figure, axes = subplots(figsize=(7.5, 1.3 + 0.5 * len(rows)))
    for place, row in enumerate(rows):
        if row.get("detectable"):
            band = 100 * row["detectable"]
            axes.barh(place, 2 * band, left=-band, height=0.8, color=PALETTE["light"])
        value, low, high = (100 * row[key] for key in ("difference", "low", "high"))
        error = [[value - low], [high - value]]
        axes.errorbar(value, place, xerr=error, fmt="|", ms=14, color=PALETTE["main"], capsize=4, lw=2)
        seeds = [100 * seed for seed in row["seeds"]]
        axes.plot(seeds, [place + 0.2] * len(seeds), "o", ms=4, color=PALETTE["accent"])
        if row.get("paper") is not None:
            axes.plot(100 * row["paper"], place - 0.2, "D", ms=7, mfc="none", mec=PALETTE["bad"])
    handles = [
        axes.plot([], [], "|", ms=14, color=PALETTE["main"], label="mean and 95 % interval")[0],
        axes.plot([], [], "o", ms=4, color=PALETTE["accent"], label="one training seed")[0],
        axes.plot([], [], "D", ms=7, mfc="none", mec=PALETTE["bad"], label="the paper's models")[0],
        axes.barh([0], [0], color=PALETTE["light"], label="too small to be found"),
    ]
    axes.axvline(0, color=PALETTE["grey"], lw=1)
    axes.set_yticks(range(len(rows)), [f"{row['better']} − {row['worse']}" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("difference in solved problems, percentage points")
    axes.set_title(f"{title} (n = {max((row['n'] for row in rows), default=0)} problems)")
    figure.legend(handles=handles, frameon=False, ncols=2, loc="outside lower center")
    return figure


def lengths(drawn: Sequence[float], matched: Sequence[float]) -> Described:
    """Draw how many words a task's failing answers are longer than its passing ones, as drawn and matched."""
    figure, axes = subplots(figsize=(7.5, 2.8))
    low, high = np.percentile([*drawn, *matched], [1, 99])
    edges = np.linspace(low, high, 31)
    axes.hist(np.clip(drawn, edges[0], edges[-1]), edges, color=PALETTE["light"], label="mean of all answers")
    axes.hist(
        np.clip(matched, edges[0], edges[-1]), edges, histtype="step", lw=2, color=PALETTE["main"], label="closest pair"
    )
    axes.axvline(0, color=PALETTE["grey"], lw=1)
    axes.set_xlabel("words by which the failing answer is longer (the outermost bars: and more)")
    axes.set_ylabel("tasks")
    means = f"{np.mean(drawn):+.1f} words on average, {np.mean(matched):+.1f} in the closest pair"
    axes.set_title(f"Failing answers: {means} (n = {len(drawn)} tasks)")
    axes.legend(frameon=False)
    return figure


def style_and_score(rows: Sequence[Record]) -> Described:
    """Draw scored arms (rows of `arm_row`) by the words of their answers and their score, on the held-out tasks."""
    figure, axes = subplots(figsize=(7.5, 3.6))
    for name, marker in zip(dict.fromkeys(row["name"] for row in rows), cycle("os^vDPX<>*"), strict=False):
        words, solved = zip(
            *((row["words"], 100 * row["solved"]["validation"]) for row in rows if row["name"] == name), strict=True
        )
        axes.plot(words, solved, marker, ms=7, alpha=0.8, label=name)
    axes.set_xlabel("words per answer to a held-out task")
    axes.set_ylabel("held-out tasks solved (%)")
    if rows:
        words, solved = [row["words"] for row in rows], [100 * row["solved"]["validation"] for row in rows]
        spans = (
            f"{min(words):.0f} to {max(words):.0f} words per answer, {min(solved):.0f} to {max(solved):.0f} % solved"
        )
        axes.set_title(f"Between {len(rows)} models: {spans}")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure

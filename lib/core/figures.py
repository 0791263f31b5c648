"""Every plot of the study: one palette, one style, titles that say what is counted."""

import re
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from lib.core.records import Record
from lib.core.statistics import Estimate

PALETTE = {
    "main": "#2f5d8a",
    "accent": "#d9822b",
    "good": "#3a8f5c",
    "bad": "#b5483f",
    "grey": "#8a8f98",
    "light": "#dfe5ec",
}
STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "savefig.dpi": 130,
    "savefig.bbox": "tight",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[PALETTE[k] for k in ("main", "accent", "good", "bad", "grey")]),
}
mpl.rcParams.update(STYLE)


class Described(Figure):
    """A figure with alternative text for those who do not see it: `alt`, or else what stands on its axes."""

    alt = ""

    def __repr__(self) -> str:
        return self.alt or written(self)

    def _repr_mimebundle_(self, **_: Any) -> tuple[Record, Record]:
        from IPython.core.pylabtools import print_figure  # where a notebook shows it, IPython is there

        return {"image/png": print_figure(self, base64=True)}, {"image/png": {"alt": repr(self)}}


def written(figure: Figure) -> str:
    """Return what stands on a figure: the title, axis labels, named places and legend of each of its axes."""
    said = []
    for axes in figure.axes:
        parts = {"": axes.get_title(loc="left") or axes.get_title(), "across: ": axes.get_xlabel()}
        parts |= {"up: ": axes.get_ylabel()}
        names = [label.get_text() for label in axes.get_yticklabels()]
        if any(re.search("[^\\W\\d]", name) for name in names):  # more than numbers
            parts["rows: "] = "; ".join(names)
        if legend := axes.get_legend():
            parts["marks: "] = "; ".join(text.get_text() for text in legend.get_texts())
        said.append(". ".join(f"{head}{part}" for head, part in parts.items() if part))
    return " | ".join(filter(None, said))


def subplots(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Described, Any]:
    """Return a figure and its axes like pyplot's, but closed: a notebook shows it once, as the value of its cell."""
    figure: Any
    figure, axes = plt.subplots(rows, columns, FigureClass=Described, **options)
    plt.close(figure)
    return figure, axes


def funnel(rows: list[Record], title: str) -> Described:
    """Draw a stage's funnel: one bar per step, remaining records in colour, dropped ones in grey."""
    figure, axes = subplots(figsize=(7.5, 0.55 + 0.42 * len(rows)))
    largest = max(max(row["in"], row["out"]) for row in rows)
    for index, row in enumerate(rows):
        axes.barh(index, row["in"], color=PALETTE["light"])
        axes.barh(index, row["out"], color=PALETTE["main"])
        label = f"{row['out']:,}" + (f"  (−{row['in'] - row['out']:,})" if row["out"] < row["in"] else "")
        axes.text(max(row["in"], row["out"]) + largest * 0.01, index, label, va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [row["step"] for row in rows])
    axes.set_xlim(0, largest * 1.18)
    axes.invert_yaxis()
    axes.set_xlabel("records left after the step (dropped in brackets)")
    axes.set_title(f"{title} (n = {rows[0]['in']:,})")
    return figure


def bars(counts: pd.Series, title: str, unit: str) -> Described:
    """Draw counts by name, one horizontal bar each, the first on top; `unit` says what is counted."""
    figure, axes = subplots(figsize=(7.5, 0.7 + 0.26 * len(counts)))
    axes.barh(range(len(counts)), counts.to_numpy(), color=PALETTE["main"])
    axes.set_yticks(range(len(counts)), [str(name) for name in counts.index])
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(f"{title} (n = {counts.sum():,})")
    return figure


def histogram(values: Sequence[float], title: str, unit: str) -> Described:
    """Draw the distribution of `values`, measured in `unit`, with its median."""
    figure, axes = subplots(figsize=(7.5, 2.6))
    axes.hist(values, bins=40, color=PALETTE["main"])
    median = statistics.median(values)
    axes.axvline(median, color=PALETTE["accent"], label=f"median {median:,.0f}")
    axes.set_xlabel(unit)
    axes.set_ylabel("count")
    axes.set_title(f"{title} (n = {len(values):,})")
    axes.legend(frameon=False)
    return figure


def prefix_cache(cost: dict[str, Record]) -> Described:
    """Draw the tokens of each generation step: prompt tokens computed, prompt tokens cached, completion tokens."""
    figure, axes = subplots(figsize=(7.5, 2.7))
    parts = {"computed": "accent", "of these cached": "light", "completion tokens": "main"}
    labels = dict(zip(parts, ("prompt, computed", "prompt, from the cache", "completion"), strict=True))
    left = [0] * len(cost)
    for part, color in parts.items():
        widths = [step[part] for step in cost.values()]
        axes.barh(range(len(cost)), widths, left=left, color=PALETTE[color], label=labels[part])
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(cost)), list(cost))
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("tokens")
    axes.set_title(f"What each step's tokens were (n = {sum(left):,})")
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.35))
    return figure


def scores(rows: Sequence[Record], title: str) -> Described:
    """Draw pass@1 with its 95 % interval, one colour per model; `rows` come from `evaluate.score`, plus `model`."""
    figure, axes = subplots(figsize=(7.5, 0.9 + 0.4 * len(rows)))
    models = list(dict.fromkeys(row["model"] for row in rows))
    shades = [PALETTE[name] for name in ("grey", "accent", "main", "good", "bad")]
    colours = {model: shades[index % len(shades)] for index, model in enumerate(models)}
    for index, row in enumerate(rows):
        value, low, high = (100 * row["pass@1"][key] for key in ("value", "low", "high"))
        colour = colours[row["model"]]
        axes.errorbar(value, index, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=4, lw=2)
        axes.annotate(f"{value:.1f}", (value, index - 0.15), ha="center", va="bottom", fontsize=9)
    axes.set_yticks(
        range(len(rows)), [f"{row['benchmark']}, {row['model']} (n = {row['pass@1']['n']})" for row in rows]
    )
    axes.set_ylim(len(rows) - 0.4, -0.7)
    axes.set_xlim(0, max(10.0, *(115 * row["pass@1"]["high"] for row in rows)))
    axes.set_xlabel("pass@1 (%), with 95 % bootstrap interval")
    axes.set_title(title)
    return figure


def waterfall(ends: Mapping[str, float], steps: Sequence[tuple[float, float]], title: str) -> Described:
    """Draw pass@1 (fractions) from label to label, each bar from the one before it to its own.

    `steps` are the 95 % intervals (fractions) of the changes to all labels but the first.
    """
    labels, values = list(ends), [100 * value for value in ends.values()]
    figure, axes = subplots(figsize=(7.5, 1.1 + 0.5 * len(values)))
    axes.barh(0, values[0], color=PALETTE["grey"], height=0.55)
    axes.text(values[0] + 0.8, 0, f"{values[0]:.1f}", va="center", fontsize=9)
    for place, (before, after) in enumerate(pairwise(values), 1):
        low, high = (100 * end for end in steps[place - 1])
        axes.barh(place, after - before, left=before, color=PALETTE["main"], height=0.55)
        arms = [[max(0.0, after - before - low)], [max(0.0, high - after + before)]]
        axes.errorbar(after, place, xerr=arms, color="black", capsize=4, lw=1.5)
        axes.text(before + max(high, 0.0) + 0.8, place, f"{after - before:+.1f} → {after:.1f}", va="center", fontsize=9)
        axes.plot([before, before], [place - 1, place], color=PALETTE["grey"], lw=1, ls=":")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, max(10.0, 1.25 * max(values)))
    axes.set_xlabel("pass@1 (%); lines: 95 % intervals of the changes, over problems")
    axes.set_title(title)
    return figure


def flips(pairs: Mapping[str, Sequence[bool]], title: str) -> Described:
    """Draw one mark per problem in the order of the ids' numbers; `pairs` maps ids to (passed before, after).

    Gained points up and lost down, so that neither needs its colour to be seen.
    """
    kinds = {
        (True, True): ("solved by both", "main", "s"),
        (False, True): ("gained", "good", "^"),
        (True, False): ("lost", "bad", "v"),
        (False, False): ("solved by neither", "light", "s"),
    }
    ordered = sorted(pairs, key=lambda task: int(task.rsplit("/", 1)[1]))
    columns = 28
    figure, axes = subplots(figsize=(7.5, 1.0 + 0.27 * -(-len(ordered) // columns)))
    for (before, after), (label, colour, marker) in kinds.items():
        squares = [index for index, task in enumerate(ordered) if tuple(pairs[task]) == (before, after)]
        x, y = [index % columns for index in squares], [index // columns for index in squares]
        axes.scatter(x, y, s=110, marker=marker, color=PALETTE[colour], label=f"{label} ({len(squares)})")
    axes.set_xlim(-0.6, columns - 0.4)
    axes.set_ylim((len(ordered) - 1) // columns + 0.6, -0.6)
    axes.axis("off")
    axes.set_title(f"{title} (n = {len(ordered)} problems)")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=9)
    return figure


def pass_rates(
    shares: Mapping[str, Estimate], title: str, what: str = "responses that passed", unit: str = "tasks"
) -> Described:
    """Draw the share of each group that passed, or what it is a share of, with its 95 % interval over `unit`."""
    figure, axes = subplots(figsize=(7.5, 0.9 + 0.36 * len(shares)))
    for index, share in enumerate(shares.values()):
        axes.plot([100 * share.low, 100 * share.high], [index, index], color=PALETTE["grey"], lw=2)
        axes.plot(100 * share.value, index, "o", color=PALETTE["main"])
    axes.set_yticks(range(len(shares)), [f"{name} ({share.n:,} {unit})" for name, share in shares.items()])
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{what}, %; lines are 95 % intervals over {unit}")
    axes.set_title(title)
    return figure


def training(log: Sequence[Record], title: str) -> Described:
    """Draw a training log: the loss of each update and on held-out examples, the learning rate, the gradient norm."""
    updates = [row for row in log if "loss" in row]
    held_out = [row for row in log if "held_out_loss" in row]
    steps = [row["step"] for row in updates]
    figure, (top, middle, bottom) = subplots(3, 1, figsize=(7.5, 5.4), sharex=True, height_ratios=[3, 1, 1])
    top.plot(steps, [row["loss"] for row in updates], color=PALETTE["main"], label="training batch")
    held_out_steps, losses = [row["step"] for row in held_out], [row["held_out_loss"] for row in held_out]
    top.plot(held_out_steps, losses, "o--", color=PALETTE["accent"], label="held-out examples")
    top.set_ylabel("loss (nats per token)")
    top.legend(frameon=False)
    middle.plot(steps, [row["learning_rate"] for row in updates], color=PALETTE["grey"])
    middle.set_ylabel("learning rate")
    bottom.plot(steps, [row["grad_norm"] for row in updates], color=PALETTE["grey"])
    bottom.set_ylabel("gradient norm")
    bottom.set_xlabel("update")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    top.set_title(f"{title} (n = {len(updates):,} updates)")
    return figure


def held_out(logs: Mapping[str, Sequence[Record]], title: str, n: int) -> Described:
    """Draw the held-out loss of several training logs by update; `n` examples are held out."""
    figure, axes = subplots(figsize=(7.5, 3.2))
    for (name, log), colour in zip(logs.items(), ("main", "accent", "good", "bad"), strict=False):
        rows = [row for row in log if "held_out_loss" in row]
        axes.plot(
            [row["step"] for row in rows],
            [row["held_out_loss"] for row in rows],
            "o-",
            color=PALETTE[colour],
            label=name,
        )
    axes.set_xlabel("update")
    axes.set_ylabel("loss (nats per token)")
    axes.set_title(f"{title} (n = {n:,} examples)")
    axes.legend(frameon=False)
    return figure


def stacked(table: pd.DataFrame, title: str, unit: str) -> Described:
    """Draw a table of counts: one bar per row, stacked from its columns."""
    figure, axes = subplots(figsize=(7.5, 1.1 + 0.36 * len(table)))
    left = [0] * len(table)
    colours = [PALETTE[name] for name in ("main", "accent", "good", "bad", "grey")]
    for index, column in enumerate(table.columns):
        widths = table[column].tolist()
        axes.barh(range(len(table)), widths, left=left, color=colours[index % len(colours)], label=str(column))
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(table)), [str(name) for name in table.index])
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(f"{title} (n = {sum(left):,})")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def positions(counts: pd.DataFrame, title: str) -> Described:
    """Draw a heat map of how often each exemplar (row) was in each position (column), with the expected count."""
    figure, axes = subplots(figsize=(7.5, 0.9 + 0.22 * len(counts)))
    prompts = counts.to_numpy().sum() / len(counts.columns)
    expected = prompts / len(counts)
    colours = LinearSegmentedColormap.from_list("study", [PALETTE["light"], PALETTE["main"]])
    image = axes.imshow(counts.to_numpy(), cmap=colours, aspect="auto", vmin=0, vmax=max(2 * expected, 1))
    axes.set_yticks(range(len(counts)), list(counts.index), fontsize=8)
    axes.set_xticks(range(len(counts.columns)), list(counts.columns))
    axes.set_xlabel(f"position (expected by chance: {expected:.1f} ± {expected**0.5:.1f} in each cell)")
    axes.set_title(f"{title} (n = {prompts:,.0f})", fontsize=10)
    figure.colorbar(image, label="prompts")
    return figure


def grouped(counts: pd.DataFrame, title: str) -> Described:
    """Draw a table of counts as shares of its columns: one group of bars per row, one bar per column."""
    figure, axes = subplots(figsize=(7.5, 1.1 + 0.2 * counts.size + 0.12 * len(counts)))
    colours = [PALETTE[name] for name in ("grey", "main", "accent", "good", "bad")]
    height = 0.8 / len(counts.columns)
    for number, column in enumerate(counts.columns):
        n = counts[column].sum()
        heights = [row + (number - (len(counts.columns) - 1) / 2) * height for row in range(len(counts))]
        shares = (100 * counts[column] / max(n, 1)).tolist()
        axes.barh(heights, shares, height * 0.9, color=colours[number % len(colours)], label=f"{column} (n = {n:,})")
    axes.set_yticks(range(len(counts)), [str(name) for name in counts.index])
    axes.invert_yaxis()
    axes.set_xlabel("share of the column's total, %")
    axes.set_title(title)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def changes(rows: Mapping[str, Record], title: str) -> Described:
    """Draw paired differences (fractions: difference, low, high, n) with their 95 % intervals, by name, in points."""
    figure, axes = subplots(figsize=(7.5, 0.9 + 0.32 * len(rows)))
    for place, row in enumerate(rows.values()):
        value, low, high = (100 * row[key] for key in ("difference", "low", "high"))
        shade = PALETTE["grey"] if low <= 0 <= high else PALETTE["main"]
        axes.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", color=shade, capsize=3, lw=2)
    axes.axvline(0, color=PALETTE["grey"], lw=1)
    axes.set_yticks(range(len(rows)), [f"{name} (n = {row['n']})" for name, row in rows.items()])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("percentage points, with 95 % interval; grey: it includes 0")
    axes.set_title(title)
    return figure

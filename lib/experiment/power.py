"""What a comparison of arms could show: the smallest detectable difference, from solve rates and spread of seeds."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np

from lib.core.paths import ROOT
from lib.core.statistics import CONFIDENCE, POWER
from lib.experiment.compare import arms_of, rates, scores_of
from lib.experiment.plan import Plan
from lib.experiment.pool import read_pool


def within(counts: Sequence[int], samples: int) -> float:
    """Return the variance of one answer around its problem's solve rate, averaged over problems, without bias.

    `counts` are the correct ones of `samples` > 1 answers to each problem.
    """
    rates = np.asarray(counts, dtype=float) / samples
    return float(np.mean(rates * (1 - rates)) * samples / (samples - 1))


def spread(rates: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return (variance of a cell, standard deviation between trainings) of solve rates [seeds][problems].

    From the mean squares of the two-way layout without replication: a cell's variance is what neither the problem nor
    the training explains, and the variance between trainings is that of their means beyond a cell's share of it, 0 at
    least. Raises ValueError for fewer than two trainings or problems.
    """
    table = np.asarray(rates, dtype=float)
    seeds, problems = table.shape
    if min(seeds, problems) < 2:
        raise ValueError(f"the spread needs two trainings and two problems, not {seeds} and {problems}")
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    cell = float((rest**2).sum() / ((seeds - 1) * (problems - 1)))
    between = float(table.mean(axis=1).var(ddof=1)) - cell / problems
    return cell, math.sqrt(max(between, 0.0))


def detectable(
    cell: float, problems: int, seeds: int, between: float = 0.0, among: int = 1, untrained: bool = False
) -> float:
    """Return the smallest true difference that the paired bootstrap over problems and seeds finds with a power of 80 %.

    `cell` is the variance of an arm's solve rate at one problem after one training (`within` / samples, or that of
    `spread`), `between` the standard deviation between trainings; both arms have the same. With `untrained` one of
    the two arms is the base model, scored once. `among` questions share 5 % (Bonferroni, Holm's first step). An arm's
    advantage is taken as equal on all problems.

    Closed form. With S seeds and n problems, the difference of means has the variance V = e / Sn + p / n + t / S, from
    cells (e), problems (p) and trainings (t). The interval of `estimate_seeds` resamples seeds and problems; on average
    its variance is B = (1 - 1/S)(t + e/n) / S + (p + e/S) / n + (1 - 1/S) e / Sn, up to 1 / n: it counts a cell's noise
    more than once and the spread of trainings by (S - 1) / S only. The difference is found if it exceeds
    z(level) sqrt(B), so it must be z(level) sqrt(B) + z(power) sqrt(V).
    """
    e, p, t = (cell, cell, between**2) if untrained else (2 * cell, 0.0, 2 * between**2)
    n, s, less = problems, seeds, 1 - 1 / seeds
    variance = e / (s * n) + p / n + t / s
    resampled = less * (t + e / n) / s + (p + e / s) / n + less * e / (s * n)
    level = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / among)
    return level * math.sqrt(resampled) + NormalDist().inv_cdf(POWER) * math.sqrt(variance)


def noise(plan: Plan, out: Path) -> tuple[float, float, str]:
    """Return (variance of a cell, spread between trainings) for `detectable`, and in words where they are from.

    From the pilot's trainings on the benchmarks once there are two; before, from the pool's solve rates alone.
    """
    pilot = scores_of([arm for arm in arms_of(plan) if arm.name == plan.controls.pilot], out, partly=True)
    if len(pilot) > 1:
        cell, between = spread([list(rates(scores).values()) for scores in pilot])
        return cell, between, f"the pilot's {len(pilot)} trainings (standard deviation between them {between:.4f})"
    pool = read_pool(ROOT / next(iter(plan.pools.values())))
    cell = within(list(pool.solved().values()), pool.samples) / plan.scoring.samples
    return (
        cell,
        0.0,
        "the pool's solve rates, without any spread between trainings: the pilot has fewer than two scored",
    )

"""Statistics of scores: pass@k, intervals over problems and seeds, paired comparisons and their power."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
POWER = 0.8  # the convention of Cohen (1988)


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` problems with its 95 % interval: fractions in [0, 1], of a difference in [-1, 1]."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """Two models on the same `n` problems: `difference` (after - before) with its 95 % interval, as fractions.

    `gained` problems are solved only after, `lost` only before; `p` is McNemar's exact two-sided p-value.
    With `rates`, each model has a share of correct answers to a problem: `gained` problems have a higher one after,
    `lost` a lower one, and `p` is the sign test's: the same sum, which ignores how large the changes are.
    """

    difference: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    n: int
    rates: bool = False

    @cached_property
    def detectable(self) -> float | None:
        """The smallest difference that `n` problems could have shown (`smallest_detectable`), as a fraction.

        None if there is none, and for rates, whose changes are not all of size 1.
        """
        return None if self.rates else smallest_detectable(self.n, self.gained + self.lost)

    def in_words(self) -> str:
        """Return a sentence on what these numbers support; a second one on power if they are inconclusive."""
        points = f"{100 * self.difference:+.1f} points, 95 % interval {100 * self.low:+.1f} to {100 * self.high:+.1f}"
        test = "sign test" if self.rates else "McNemar"
        if self.low <= 0 <= self.high:
            unclear = f"The comparison is inconclusive with {self.n} problems ({points}, {test} p = {self.p:.2f})."
            if self.rates:
                return unclear
            least = self.detectable
            only = "No difference" if least is None else f"Only a true difference of {100 * least:.1f} points or more"
            return f"{unclear} {only} would have been found with a probability of {100 * POWER:.0f} %."
        way, p = "more" if self.difference > 0 else "fewer", "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"The tuned model solves {way} problems than the model before ({points}, {test} {p})."


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % score interval (Wilson 1927) of a share of `n` > 0 independent cases, as fractions."""
    from scipy.stats import binomtest  # half a second, which few who draw a figure need

    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Return the unbiased estimate 1 - C(n - correct, k) / C(n, k) of pass@k from n samples of one problem.

    Raises ValueError unless 0 <= correct <= n and 1 <= k <= n.
    """
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} needs 0 <= correct <= n and 1 <= k <= n, not n = {n}, correct = {correct}")
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def estimate(values: Sequence[float], resamples: int, seed: int) -> Estimate:
    """Return the mean of one value per problem with its percentile-bootstrap interval over problems."""
    low, high = bootstrap(np.asarray(values, dtype=float), resamples, seed)
    return Estimate(float(np.mean(values)), low, high, len(values))


def estimate_share(groups: Sequence[tuple[int, int]], resamples: int, seed: int) -> Estimate:
    """Return the share of cases that succeeded with an interval over groups, each (successes, cases > 0).

    For cases that are alike within a group, as answers to one task are: groups are resampled whole, so `n` of them
    say less than as many single cases. Raises ValueError without groups.
    """
    if not len(groups):
        raise ValueError("no groups to resample")
    table = np.asarray(groups, dtype=float)
    drawn = np.random.default_rng(seed).integers(len(table), size=(resamples, len(table)))
    sums = table[drawn].sum(axis=1)
    low, high = percentiles(sums[:, 0] / sums[:, 1])
    return Estimate(float(table[:, 0].sum() / table[:, 1].sum()), low, high, len(table))


def compare(before: Sequence[float], after: Sequence[float], resamples: int, seed: int) -> Comparison:
    """Return the paired comparison of two models on the same problems in the same order.

    A value is a problem's share of correct answers, in [0, 1]; with one answer per problem it is 0 or 1, and any other
    value makes it a comparison of rates. The bootstrap resamples problems and keeps each problem's pair together.
    Raises ValueError if the lengths differ.
    """
    if len(before) != len(after):
        raise ValueError(f"a paired comparison needs the same problems: {len(before)} before, {len(after)} after")
    sides = np.array([before, after], dtype=float)
    differences, rates = sides[1] - sides[0], bool(((sides != 0) & (sides != 1)).any())
    low, high = bootstrap(differences, resamples, seed)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    p, n = mcnemar(gained, lost), len(differences)
    return Comparison(float(differences.mean()), low, high, gained, lost, p, n, rates)


def estimate_seeds(values: Sequence[Sequence[float]], resamples: int, seed: int) -> Estimate:
    """Return the mean over training seeds and problems, with an interval from resampling both.

    `values[s][i]` is the score of seed s on problem i, or its difference from the untuned model's. All seeds have the
    same problems, so seeds and problems are resampled independently and crossed (Owen 2007, the pigeonhole bootstrap).
    With S seeds, the variance between seeds is underestimated by a factor of about (S - 1) / S: it is 0 for one seed.
    Raises ValueError if there is nothing to resample or the numbers of problems differ.
    """
    low, high = percentiles(resampled_seeds(values, resamples, seed))
    return Estimate(float(np.mean(values)), low, high, len(values[0]))


def resampled_seeds(values: Sequence[Sequence[float]], resamples: int, seed: int) -> np.ndarray:
    """Return the means [resamples] over seeds and problems that `estimate_seeds` takes its interval from."""
    if len({len(row) for row in values}) != 1:
        raise ValueError(f"every seed needs the same problems, not {[len(row) for row in values]} of them")
    table = np.asarray(values, dtype=float)
    if not table.size:
        raise ValueError("no problems to resample")
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(size, np.full(size, 1 / size), size=resamples) for size in table.shape]
    return ((drawn[0] @ table) * drawn[1]).sum(axis=1) / table.size


def two_sided(means: np.ndarray) -> float:
    """Return the p-value of no difference from resampled means: twice the smaller share beyond 0, never quite 0."""
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(means) + 1))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being asked together (Holm 1979), in the order given.

    The k-th smallest of m is multiplied by m - k + 1, is at least its predecessor's value and at most 1; one that is
    0.05 or less is then found while all true hypotheses together are rejected with a probability of 5 % at most.
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def unpaired(before: Estimate, after: Estimate, among: int = 1) -> Estimate:
    """Return the difference after - before of two independent estimates, from their own intervals.

    The distances from value to bound are combined as the root of their sum of squares (Newcombe 1998, method 10).
    `among` is how many such differences are considered together: all their intervals hold with 95 % (Bonferroni).
    """
    tail = (1 - CONFIDENCE) / 2
    scale = NormalDist().inv_cdf(1 - tail / among) / NormalDist().inv_cdf(1 - tail)
    value = after.value - before.value
    down = math.hypot(after.value - after.low, before.high - before.value)
    up = math.hypot(after.high - after.value, before.value - before.low)
    return Estimate(value, value - scale * down, value + scale * up, min(before.n, after.n))


def smallest_detectable(n: int, flips: int) -> float | None:
    """Return the smallest true difference in pass@1 that McNemar's exact test at 5 % detects with a power of 80 %.

    A sample has `n` problems. A problem flips with probability `flips` / n, or with that of the difference itself if
    that is more. The power is the exact sum over all numbers of flips (the unconditional setting of Connor 1987, whose
    formula is its normal approximation). None if not even a difference of 1 is detected.
    """
    numbers = np.arange(n + 1)
    logs = np.array([math.lgamma(number + 1) for number in numbers])
    total, lost = np.ix_(numbers, numbers)
    ways = np.where(lost <= total, logs[total] - logs[lost] - logs[np.abs(total - lost)], -np.inf)
    found = 2 * np.exp(ways - total * math.log(2)).cumsum(axis=1) <= 1 - CONFIDENCE

    def power(difference: float) -> float:
        rate = max(flips / n, difference)
        # The probabilities of a flip, and of a flip being a loss.
        probabilities = np.clip([rate, (rate - difference) / (2 * rate)], 1e-12, 1 - 1e-12)
        log_flip, log_loss = np.log(probabilities)
        log_same, log_gain = np.log1p(-probabilities)
        of_total = np.exp(ways[n] + numbers * log_flip + (n - numbers) * log_same)
        return float(of_total @ (found * np.exp(ways + lost * log_loss + (total - lost) * log_gain)).sum(axis=1))

    if n == 0 or power(1.0) < POWER:
        return None
    low, high = 1e-9, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def bootstrap(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of `values` (shape [n]) over `resamples` seeded resamples."""
    if not len(values):
        raise ValueError("no problems to resample")
    rng = np.random.default_rng(seed)
    return percentiles(values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1))


def percentiles(means: np.ndarray) -> tuple[float, float]:
    """Return the bounds between which 95 % of resampled means lie."""
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def mcnemar(gained: int, lost: int) -> float:
    """Return McNemar's exact two-sided p-value: `gained` and `lost` flips are equally likely under its hypothesis."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0

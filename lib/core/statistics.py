"""What a score is worth: pass@k, intervals over problems and seeds, comparisons and what they could have shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
POWER = 0.8  # Cohen's convention (1988): a difference that is there is found four times in five


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
    With `rates` a problem has a share of right answers for each model: `gained` have a higher one after, `lost` a lower
    one, and `p` is the sign test's, which is the same sum but does not see how large the changes are.
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
        """The smallest difference that so many problems could have shown (`smallest_detectable`), as a fraction.

        None when there is none, and for rates, whose changes are not of 1 each.
        """
        return None if self.rates else smallest_detectable(self.n, self.gained + self.lost)

    def in_words(self) -> str:
        """Return what these numbers support, in a sentence; in two when they cannot tell the models apart."""
        points = f"{100 * self.difference:+.1f} points, 95 % interval {100 * self.low:+.1f} to {100 * self.high:+.1f}"
        test = "sign test" if self.rates else "McNemar"
        if self.low <= 0 <= self.high:
            unclear = f"The two models cannot be told apart with {self.n} problems ({points}, {test} p = {self.p:.2f})."
            if self.rates:
                return unclear
            least = self.detectable
            only = "No difference" if least is None else f"Only a true difference of {100 * least:.1f} points or more"
            return f"{unclear} {only} would have been found with a probability of {100 * POWER:.0f} %."
        way, p = "more" if self.difference > 0 else "fewer", "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"The tuned model solves {way} problems than the model before ({points}, {test} {p})."


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval (Wilson, 1927) of a share of `n` > 0 independent cases, as fractions."""
    share, z = successes / n, 1.959964
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Return the unbiased estimate 1 - C(n - correct, k) / C(n, k) of pass@k from n samples of one problem.

    Raises ValueError unless 0 <= correct <= n and 1 <= k <= n.
    """
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} needs 0 <= correct <= n and 1 <= k <= n, not n = {n}, correct = {correct}")
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def estimate(values: Sequence[float], resamples: int, seed: int) -> Estimate:
    """Return the mean of one value a problem with its percentile-bootstrap interval over problems."""
    low, high = bootstrap(np.asarray(values, dtype=float), resamples, seed)
    return Estimate(float(np.mean(values)), low, high, len(values))


def compare(before: Sequence[float], after: Sequence[float], resamples: int, seed: int) -> Comparison:
    """Return the paired comparison of two models on the same problems in the same order.

    A value is the share of right answers to a problem in [0, 1], of one answer its verdict; where any is not 0 or 1
    the comparison is one of rates. The bootstrap resamples problems, keeping each problem's pair together. ValueError
    when the lengths differ.
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
    """Return the mean over training seeds and problems, its interval from both being drawn anew.

    `values[s][i]` is seed s on problem i, or its difference from the untuned model there. Every seed meets the same
    problems, so seeds and problems are resampled independently of each other and crossed (Owen 2007, the pigeonhole
    bootstrap). With S seeds the part that comes from them is too small by about (S - 1) / S, and 0 for one seed.
    ValueError when there is nothing to resample or the seeds' problems differ in number.
    """
    if len({len(row) for row in values}) != 1:
        raise ValueError(f"every seed needs the same problems, not {[len(row) for row in values]} of them")
    table = np.asarray(values, dtype=float)
    seeds, problems = table.shape
    if not problems:
        raise ValueError("no problems to resample")
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(size, np.full(size, 1 / size), size=resamples) for size in (seeds, problems)]
    means = ((drawn[0] @ table) * drawn[1]).sum(axis=1) / table.size
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(table.mean()), float(low), float(high), problems)


def unpaired(before: Estimate, after: Estimate, among: int = 1) -> Estimate:
    """Return the difference after - before of two independent estimates, from their own intervals.

    The intervals' arms are joined as root of the sum of squares (Newcombe 1998, method 10). `among` is how many such
    differences are looked at together: the interval is widened so that all of them hold with 95 % (Bonferroni).
    """
    tail = (1 - CONFIDENCE) / 2
    wider = NormalDist().inv_cdf(1 - tail / among) / NormalDist().inv_cdf(1 - tail)
    value = after.value - before.value
    down = math.hypot(after.value - after.low, before.high - before.value)
    up = math.hypot(after.high - after.value, before.value - before.low)
    return Estimate(value, value - wider * down, value + wider * up, min(before.n, after.n))


def smallest_detectable(n: int, flips: int) -> float | None:
    """Return the smallest true difference in pass@1 that McNemar's exact test at 5 % finds in 80 % of samples.

    A sample has `n` problems, and a problem changes sides as often as `flips` of n did, or as often as the difference
    itself where that is more. The power is the exact sum over all numbers of flips (the unconditional setting of
    Connor 1987, whose formula is its normal approximation). None when not even a difference of 1 is found.
    """
    numbers = np.arange(n + 1)
    logs = np.array([math.lgamma(number + 1) for number in numbers])
    total, lost = np.ix_(numbers, numbers)
    ways = np.where(lost <= total, logs[total] - logs[lost] - logs[np.abs(total - lost)], -np.inf)
    found = 2 * np.exp(ways - total * math.log(2)).cumsum(axis=1) <= 1 - CONFIDENCE

    def power(difference: float) -> float:
        rate = max(flips / n, difference)
        rates = np.clip([rate, (rate - difference) / (2 * rate)], 1e-12, 1 - 1e-12)
        some, against = np.log(rates)
        none, towards = np.log1p(-rates)
        of_total = np.exp(ways[n] + numbers * some + (n - numbers) * none)
        return float(of_total @ (found * np.exp(ways + lost * against + (total - lost) * towards)).sum(axis=1))

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
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def mcnemar(gained: int, lost: int) -> float:
    """Return the exact two-sided p-value that `gained` and `lost` flips are as likely: a binomial test at 1/2."""
    flips = gained + lost
    tail = sum(math.comb(flips, i) for i in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**flips)

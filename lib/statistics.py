"""What a score is worth: pass@k, bootstrap intervals over problems, and the paired comparison of two models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` problems with its 95 % interval; all three are fractions in [0, 1]."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """Two models on the same `n` problems: `difference` (after - before) with its 95 % interval, as fractions.

    `gained` problems are solved only after, `lost` only before; `p` is McNemar's exact two-sided p-value.
    """

    difference: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    n: int

    def in_words(self) -> str:
        """Return the one sentence that these numbers support."""
        points = f"{100 * self.difference:+.1f} points, 95 % interval {100 * self.low:+.1f} to {100 * self.high:+.1f}"
        if self.low <= 0 <= self.high:
            return f"The two models cannot be told apart with {self.n} problems ({points}, McNemar p = {self.p:.2f})."
        way, p = "more" if self.difference > 0 else "fewer", "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"The tuned model solves {way} problems than the model before ({points}, McNemar {p})."


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


def compare(before: Sequence[bool], after: Sequence[bool], resamples: int, seed: int) -> Comparison:
    """Return the paired comparison of two models' verdicts on the same problems in the same order.

    The bootstrap resamples problems, keeping each problem's pair together. ValueError when the lengths differ.
    """
    if len(before) != len(after):
        raise ValueError(f"a paired comparison needs the same problems: {len(before)} before, {len(after)} after")
    differences = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    low, high = bootstrap(differences, resamples, seed)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    return Comparison(float(differences.mean()), low, high, gained, lost, mcnemar(gained, lost), len(differences))


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

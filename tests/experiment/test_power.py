"""The smallest detectable difference against simulated experiments, judged by the very interval that is reported."""

import numpy as np
import pytest

from lib.core.statistics import estimate_seeds
from lib.experiment.power import detectable, spread, within

SAMPLES = 2


def simulated(advantage, problems, seeds, between, untrained, rng, times):
    """The share of simulated experiments whose interval lies above 0; rates are spread evenly from 0.2 to 0.8."""
    rates, found = np.linspace(0.2, 0.8, problems), 0
    for _ in range(times):
        moved = rng.normal(0, between, size=(2, seeds, 1))
        better = rng.binomial(SAMPLES, np.clip(rates + advantage / 2 + moved[0], 0, 1)) / SAMPLES
        worse = rng.binomial(SAMPLES, np.clip(rates - advantage / 2 + moved[1], 0, 1)) / SAMPLES
        if untrained:
            worse = np.repeat(rng.binomial(SAMPLES, rates - advantage / 2)[None] / SAMPLES, seeds, axis=0)
        found += estimate_seeds((better - worse).tolist(), 200, 0).low > 0
    return found / times


@pytest.mark.parametrize(
    ("problems", "seeds", "between", "untrained"),
    [(160, 1, 0.0, False), (160, 3, 0.0, False), (160, 3, 0.0, True), (240, 4, 0.015, False), (240, 4, 0.015, True)],
)
def test_the_detectable_difference_is_found_four_times_in_five(problems, seeds, between, untrained) -> None:
    rates = np.linspace(0.2, 0.8, problems)
    cell = float((rates * (1 - rates)).mean()) / SAMPLES
    least = detectable(cell, problems, seeds, between, untrained=untrained)
    rng = np.random.default_rng(7)
    assert simulated(least, problems, seeds, between, untrained, rng, 150) == pytest.approx(0.8, abs=0.09)
    assert simulated(least / 2, problems, seeds, between, untrained, rng, 40) < 0.5


def test_one_training_is_the_plain_paired_formula_and_more_of_anything_shows_more() -> None:
    assert detectable(0.1, 164, 1) == pytest.approx((1.959964 + 0.841621) * (2 * 0.1 / 164) ** 0.5, rel=1e-5)
    base = detectable(0.1, 164, 3, 0.01)
    assert detectable(0.1, 542, 3, 0.01) < base < detectable(0.1, 164, 3, 0.02)
    assert detectable(0.1, 164, 6, 0.01) < base < detectable(0.1, 164, 3, 0.01, among=4)
    assert detectable(0.1, 164, 3, 0.01, untrained=True) > detectable(0.1, 164, 9, 0.01)


def test_the_variance_within_problems_and_the_spread_of_seeds_are_estimated_without_bias() -> None:
    rng, rates = np.random.default_rng(3), np.linspace(0.1, 0.9, 300)
    truth = float((rates * (1 - rates)).mean())
    assert np.mean([within(rng.binomial(4, rates), 4) for _ in range(100)]) == pytest.approx(truth, rel=0.02)
    found = []
    for _ in range(200):
        moved = rng.normal(0, 0.05, size=(4, 1))
        found.append(spread(rng.binomial(SAMPLES, np.clip(rates + moved, 0, 1)) / SAMPLES))
    cells, between = np.array(found).T
    assert np.mean(cells) == pytest.approx(truth / SAMPLES, rel=0.03)
    assert np.mean(between**2) ** 0.5 == pytest.approx(0.05, rel=0.12)
    with pytest.raises(ValueError, match="two trainings"):
        spread([[0.5, 0.5]])

"""Intervals and tests by published examples, power by simulation, several seeds, and pass@k of many samples."""

from dataclasses import asdict

import numpy as np
import pytest

from lib.core.statistics import (
    Comparison,
    Estimate,
    compare,
    estimate,
    estimate_seeds,
    estimate_share,
    holm,
    mcnemar,
    pass_at_k,
    resampled_seeds,
    smallest_detectable,
    two_sided,
    unpaired,
    wilson,
)


def found(n, flips, difference, samples=4000):
    """Return the share of simulated samples in which McNemar's test finds a true difference with the right sign."""
    rate = max(flips / n, difference)
    odds = [(rate + difference) / 2, (rate - difference) / 2, 1 - rate]
    drawn = np.random.default_rng(5).multinomial(n, np.clip(odds, 0, 1), size=samples)
    pairs, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    return sum(counts[[gained > lost and mcnemar(int(gained), int(lost)) <= 0.05 for gained, lost in pairs]]) / samples


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_newcombes_examples(successes, n, low, high):
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, table I, method 3."""
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_mcnemars_p_value_is_twice_the_smaller_tail_and_at_most_one():
    """Of 9 flips, 0 or 1 go one way in 10 of 512 cases."""
    assert mcnemar(1, 8) == mcnemar(8, 1) == pytest.approx(2 * 10 / 512)
    assert mcnemar(10, 5) == pytest.approx(0.3017578)
    assert mcnemar(7, 7) == mcnemar(0, 0) == 1


@pytest.mark.parametrize(("n", "flips"), [(164, 36), (40, 9), (378, 0)])
def test_the_smallest_detectable_difference_is_found_four_times_in_five(n, flips):
    """At that difference a simulation has 80 % power, at three quarters of it clearly less."""
    least = smallest_detectable(n, flips)
    assert found(n, flips, least) == pytest.approx(0.8, abs=0.03)
    assert found(n, flips, 0.75 * least) < 0.72


def test_the_smallest_detectable_difference_agrees_with_connors_formula():
    """n = (1.96 sqrt(psi) + 0.84 sqrt(psi - d^2))^2 / d^2, a normal approximation: the exact test needs a bit more."""
    n, rate = 1000, 0.2
    least = smallest_detectable(n, int(n * rate))
    needed = (1.959964 * rate**0.5 + 0.841621 * (rate - least**2) ** 0.5) ** 2 / least**2
    assert 0.93 * n < needed < n


def test_more_problems_show_less_and_too_few_show_nothing():
    assert smallest_detectable(800, 160) < smallest_detectable(200, 40) < smallest_detectable(50, 10)
    assert smallest_detectable(200, 10) < smallest_detectable(200, 60)
    assert smallest_detectable(5, 2) is None  # five flips of five give p = 1/16
    assert smallest_detectable(6, 2) == pytest.approx(0.8 ** (1 / 6), abs=1e-3)  # all six must flip one way
    assert smallest_detectable(0, 0) is None


def test_an_inconclusive_comparison_says_what_it_could_have_shown():
    unclear = compare([True] * 20 + [False] * 80, [False] * 8 + [True] * 22 + [False] * 70, 2000, 0)
    words = unclear.in_words()
    assert f"a true difference of {100 * smallest_detectable(100, 18):.1f} points or more" in words and "80 %" in words
    assert "No difference would have been found" in compare([True, False], [False, True], 100, 0).in_words()
    assert "would have been" not in Comparison(0.2, 0.1, 0.3, 21, 1, 0.001, 100).in_words()
    assert set(asdict(unclear)) == {"difference", "low", "high", "gained", "lost", "p", "n", "rates"}


def test_rates_of_several_samples_get_a_sign_test_and_no_smallest_difference():
    """Ten small gains and two small losses: no problem was won or lost, so McNemar's test does not apply."""
    before, after = [0.5] * 12 + [1.0] * 8, [0.6] * 10 + [0.4] * 2 + [1.0] * 8
    made = compare(before, after, 2000, 0)
    assert made.rates and made.detectable is None and (made.gained, made.lost, made.n) == (10, 2, 20)
    assert made.p == pytest.approx(2 * (1 + 12 + 66) / 2**12) and "sign test p = 0.0" in made.in_words()
    unclear = compare(before, [0.5] * 10 + [0.6, 0.4] + [1.0] * 8, 2000, 0).in_words()
    assert "inconclusive" in unclear and "sign test" in unclear and "would have been found" not in unclear
    whole = compare([1.0, 0.0] * 20, [1.0] * 40, 2000, 0)
    assert not whole.rates and whole.detectable and "McNemar" in whole.in_words()


def test_pass_at_k_of_many_samples_has_an_interval_over_problems():
    """All or none of a problem's 10 samples are correct, so the interval is as wide as with one sample."""
    counts = [10] * 30 + [0] * 70
    many = estimate([pass_at_k(10, correct, 1) for correct in counts], 5000, 0)
    one = estimate([correct == 10 for correct in counts], 5000, 0)
    assert many == one and many.n == 100
    even = estimate([pass_at_k(10, 3, 1)] * 100, 5000, 0)
    assert even.value == pytest.approx(0.3) and even.high - even.low == pytest.approx(0)


def test_seeds_and_problems_both_widen_the_interval():
    """One seed is the plain bootstrap; seeds that agree add nothing; seeds that disagree add their own spread."""
    rng = np.random.default_rng(0)
    row = (rng.random(100) < 0.4).astype(float)
    one, plain = estimate_seeds([row.tolist()], 8000, 1), estimate(row.tolist(), 8000, 1)
    assert one.value == plain.value and one.n == 100
    assert (one.low, one.high) == pytest.approx((plain.low, plain.high), abs=0.015)
    agreeing = estimate_seeds([row.tolist()] * 5, 8000, 1)
    assert agreeing.high - agreeing.low == pytest.approx(plain.high - plain.low, abs=0.02)
    rates = (0.1, 0.3, 0.5, 0.7)
    spread = estimate_seeds([[rate] * 50 for rate in rates], 8000, 1)
    assert spread.value == pytest.approx(0.4)
    assert (spread.low, spread.high) == pytest.approx((0.4 - 0.219, 0.4 + 0.219), abs=0.04)  # 1.96 sd(rates) / sqrt(4)
    assert spread == estimate_seeds([[rate] * 50 for rate in rates], 8000, 1)


def test_seeds_of_different_problems_are_refused():
    with pytest.raises(ValueError, match="same problems"):
        estimate_seeds([[1.0, 0.0], [1.0]], 10, 0)
    with pytest.raises(ValueError, match="no problems"):
        estimate_seeds([[]], 10, 0)


def test_the_difference_of_two_estimates_is_newcombes():
    """Newcombe 1998, example (a): 56/70 and 48/80 with Wilson's intervals give 0.0524 to 0.3339."""
    one, other = Estimate(56 / 70, *wilson(56, 70), 70), Estimate(48 / 80, *wilson(48, 80), 80)
    apart = unpaired(other, one)
    assert (apart.value, apart.low, apart.high, apart.n) == pytest.approx((0.2, 0.0524, 0.3339, 70), abs=2e-4)
    wider = unpaired(other, one, among=10)
    assert wider.low < 0 < apart.low and wider.value == apart.value


def test_holm_s_p_values_by_hand():
    """0.01, 0.02, 0.03 and 0.04 of four: 4 x 0.01 = 0.04, 3 x 0.02 = 0.06, 2 x 0.03 = 0.06, 0.04 raised to 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([0.02]) == [0.02] and holm([]) == []


def test_the_bootstrap_s_p_value_agrees_with_its_interval():
    rng = np.random.default_rng(2)
    for shift in np.linspace(-0.3, 0.3, 13):
        row = (rng.normal(shift, 1, size=80)).tolist()
        found, p = estimate_seeds([row], 4000, 0), two_sided(resampled_seeds([row], 4000, 0))
        if abs(p - 0.05) > 0.005:
            assert (p < 0.05) == (not found.low <= 0 <= found.high)
    assert two_sided(np.zeros(99)) == 1 and two_sided(np.ones(99)) == 0.02


def test_answers_that_stand_and_fall_with_their_task_are_worth_one_each():
    """20 tasks of 10 answers, all right or all wrong: as uncertain as 20 single answers, not as 200."""
    tasks = [(10, 10)] * 10 + [(0, 10)] * 10
    whole = estimate_share(tasks, 4000, 0)
    single = estimate([float(right > 0) for right, _ in tasks], 4000, 0)
    assert (whole.value, whole.n) == (0.5, 20)
    assert whole.low == pytest.approx(single.low, abs=0.06) and whole.high == pytest.approx(single.high, abs=0.06)
    low, high = wilson(100, 200)
    assert whole.high - whole.low > 2 * (high - low)
    with pytest.raises(ValueError, match="no groups"):
        estimate_share([], 10, 0)

"""Statistics of comparisons, against closed forms, other libraries and Monte-Carlo."""

import math

import numpy as np
import pytest
from scipy import stats

from sigmabench.eval.metrics.estimate import mean
from sigmabench.eval.metrics.frechet import frechet
from sigmabench.eval.metrics.reference import Reference
from sigmabench.eval.statistics import (
    Joint,
    best_probability,
    draws,
    front_probability,
    images_needed,
    order_probability,
    pairs,
    rank_interval,
    simultaneous,
)
from sigmabench.eval.statistics.pareto import on_front


def joint(*columns):
    """Of means, a column of numbers per cell."""
    return Joint.of({str(i): mean(np.asarray(column, dtype=np.float64), {}) for i, column in enumerate(columns)})


def gaussian(values, n=400, spread=1.0, seed=0):
    """Independent cells whose values and variances are exactly these."""
    z = np.random.default_rng(seed).standard_normal((n, len(values)))
    z = np.linalg.qr(z - z.mean(axis=0))[0] * math.sqrt(n - 1) * spread
    return Joint(tuple(map(str, range(len(values)))), np.asarray(values, dtype=float), z, n)


# Pairs


def test_a_single_pair_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(12)
    y = x + 0.3 * rng.standard_normal(12) + 0.2
    found, theirs = simultaneous(joint(x, y)), stats.ttest_rel(x, y)
    assert found.p[0] == pytest.approx(theirs.pvalue, rel=1e-5)  # influences are float32
    interval = theirs.confidence_interval(0.95)
    assert (found.low[0], found.high[0]) == pytest.approx((interval.low, interval.high), rel=1e-5)


def test_the_gain_of_pairing_is_the_ratio_of_variances():
    found = pairs(gaussian([0, 0, 0]))
    np.testing.assert_allclose(found.gain, 1, rtol=1e-9)  # uncorrelated
    x = gaussian([0, 0]).influences
    near = pairs(Joint(("a", "b"), np.zeros(2), np.stack([x[:, 0], x[:, 0] + 0.1 * x[:, 1]], axis=1), 400))
    assert near.gain[0] == pytest.approx((1 + 1.01) / 0.01)
    assert near.se[0] == pytest.approx(0.1 / math.sqrt(400))


def test_nearly_equal_cells_keep_the_digits_of_their_difference():
    x = gaussian([0, 0], spread=1e3).influences
    near = Joint(("a", "b"), np.zeros(2), np.stack([x[:, 0], x[:, 0] + 1e-5 * x[:, 1]], axis=1), 400)
    assert pairs(near).se[0] == pytest.approx(1e-2 / math.sqrt(400), rel=1e-9)


def test_equal_cells_are_not_told_apart_and_do_not_disturb_the_others():
    x, y = np.random.default_rng(1).standard_normal((2, 50))
    found = simultaneous(joint(x, np.nextafter(x, 9), y))
    assert (found.low[0], found.high[0], found.p[0], found.pairs.gain[0]) == (0, 0, 1, math.inf)
    assert not found.separated[0]
    assert found.critical < 2.3  # as of one pair: the other two are the same comparison


def test_cells_of_different_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="different numbers of images are not compared: a of 3, b of 4"):
        Joint.of({"a": mean(np.arange(3.0), {}), "b": mean(np.arange(4.0), {})})
    with pytest.raises(ValueError, match="at least 2 images, there are 1"):
        pairs(joint([1.0], [2.0]))


# Simultaneous intervals


@pytest.mark.parametrize("cells", [3, 8])
def test_of_independent_cells_the_critical_value_is_tukeys(cells):
    exact = stats.studentized_range.ppf(0.95, cells, 399) / math.sqrt(2)
    assert simultaneous(gaussian([0.0] * cells), count=20_000).critical == pytest.approx(exact, rel=0.01)


def test_p_values_and_intervals_agree_also_far_out():
    found = simultaneous(gaussian([0.0, 0.13, 0.2, 5.0]))
    np.testing.assert_array_equal(found.p < 0.05, found.separated)
    assert found.separated[[2, 4, 5]].all()
    assert not found.separated[3]
    assert 0 < found.p[2] < 1e-100


def test_intervals_of_all_differences_hold_together_in_95_of_100_repetitions():
    rng, truth = np.random.default_rng(2), np.array([0.0, 0.0, 0.1, 0.3, 0.3])
    mixing = np.eye(5) + 0.9  # common noise: neighbours are strongly correlated
    wrong = sum(_misses(rng.standard_normal((60, 5)) @ mixing + truth, truth) for _ in range(500))
    assert 0.03 <= wrong / 500 <= 0.07


def test_skewed_scores_are_covered_too():
    rng, truth = np.random.default_rng(3), np.array([1.0, 1.2, 1.0])
    wrong = 0
    for _ in range(400):
        common = rng.exponential(size=(200, 1))
        wrong += _misses((common + 0.5 * rng.exponential(size=(200, 3)) - 0.5) * truth, truth)
    assert 0.02 <= wrong / 400 <= 0.085


def _misses(rows, truth):
    found = simultaneous(joint(*rows.T), count=400)
    exact = truth[found.pairs.a] - truth[found.pairs.b]
    return bool(((found.low > exact) | (found.high < exact)).any())


def test_frechet_distances_are_told_apart_when_they_differ_and_only_then():
    """Three cells on common noise, two of them of the same law: which pairs are separated over repetitions."""
    rng, ref = np.random.default_rng(4), Reference("test", np.zeros(3), np.eye(3), 10_000, path=None)
    separated, first = np.zeros(3), []
    for _ in range(150):
        x, y = rng.standard_normal((2, 400, 3)) * 1.3
        cells = (1.00 * x, 1.05 * x, 1.05 * (0.8 * x + 0.6 * y))
        found = simultaneous(
            Joint.of({str(i): frechet([{"features/t-0": c}], "features/t-0", ref) for i, c in enumerate(cells)}),
            count=400,
        )
        separated += found.separated
        first.append(found.pairs.difference[0])
    assert separated[0] == 150  # 5 % of scale, on the same noise
    assert separated[2] <= 0.06 * 150  # the same law
    assert np.mean(first) == pytest.approx(3 * ((1.3 - 1) ** 2 - (1.3 * 1.05 - 1) ** 2), rel=0.05)


def test_draws_have_the_covariance_of_the_errors_whatever_other_cells_there_are():
    x = np.random.default_rng(5).standard_normal((300, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 2]])
    x -= x.mean(axis=0)
    z = draws(x, 20_000)
    np.testing.assert_allclose(np.cov(z.T), np.cov(x.T) / 300, atol=4e-4)
    np.testing.assert_allclose(draws(x[:, 1:2], 500), draws(x, 500)[:, 1:2], atol=1e-12)


# Rankings


def test_the_probability_to_be_best_is_the_normal_one():
    two = gaussian([0.0, 0.06])
    scores = two.values + draws(two.influences, 20_000)
    expected = stats.norm.cdf(0.06 / math.sqrt(2 / 400))
    assert best_probability(scores) == pytest.approx([1 - expected, expected], abs=0.01)
    assert order_probability(two.values, scores) == pytest.approx([expected, expected], abs=0.01)
    assert best_probability(-scores) == pytest.approx([expected, 1 - expected], abs=0.01)


def test_of_equal_cells_every_order_is_as_likely():
    four = gaussian([0.0] * 4)
    scores = draws(four.influences, 40_000)
    np.testing.assert_allclose(best_probability(scores), 1 / 4, atol=0.01)
    np.testing.assert_allclose(order_probability(four.values, scores), [1 / 4, 1 / 12, 1 / 24, 1 / 24], atol=0.01)


def test_cells_that_are_the_same_share_the_probability():
    assert best_probability(np.array([[3.0, 3.0, 1.0], [0.0, 0.0, 2.0]])).tolist() == [0.25, 0.25, 0.5]


def test_ranks_are_bounded_by_what_is_measurably_better_and_worse():
    better = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]], dtype=bool)
    low, high = rank_interval(better)
    assert (low.tolist(), high.tolist()) == ([1, 2, 2], [1, 3, 3])


def test_a_ranking_holds_as_often_as_it_says():
    """Calibration: with truths drawn from a wide law, rankings said to hold with probability p are right that often."""
    rng, said, held = np.random.default_rng(7), [], []
    for _ in range(300):
        truth = rng.uniform(0, 0.6, 3)
        one = joint(*(rng.standard_normal((100, 3)) + truth).T)
        said.append(order_probability(one.values, one.values + draws(one.influences, 300)).min())
        held.append((np.argsort(truth) == np.argsort(one.values)).all())
    assert np.mean(held) == pytest.approx(np.mean(said), abs=0.07)


# Pareto fronts


def test_the_front_is_what_no_other_cell_dominates():
    rng = np.random.default_rng(8)
    scores, costs = rng.integers(0, 5, (300, 7)).astype(float), rng.integers(0, 4, (300, 7)).astype(float)
    for score, cost, found in zip(scores, costs, on_front(scores, costs), strict=True):
        better = (cost[None] <= cost[:, None]) & (score[None] >= score[:, None])
        strictly = (cost[None] < cost[:, None]) | (score[None] > score[:, None])
        np.testing.assert_array_equal(found, ~(better & strictly).any(axis=1))


def test_the_probability_of_being_on_the_front_is_the_normal_one():
    two = gaussian([0.0, 0.03])
    scores = two.values + draws(two.influences, 20_000)
    found = front_probability(scores, np.array([5.0, 10.0]))
    assert found[0] == 1
    assert found[1] == pytest.approx(stats.norm.cdf(0.03 / math.sqrt(2 / 400)), abs=0.01)
    noisy = np.random.default_rng(9).normal([5.0, 5.0], 0.1, (20_000, 2))
    assert front_probability(np.broadcast_to([1.0, 2.0], (20_000, 2)), noisy) == pytest.approx([0.5, 1], abs=0.01)


# Planning


def test_the_images_needed_show_the_difference_in_four_of_five_repetitions():
    rng = np.random.default_rng(10)
    needed = int(images_needed(np.array([0.1]), np.array([1 / math.sqrt(50)]), 50, stats.norm.ppf(0.975))[0])
    assert needed == pytest.approx(785, abs=1)  # (1.96 + 0.84)^2 / 0.1^2
    found = [stats.ttest_1samp(rng.normal(0.1, 1, needed), 0).pvalue < 0.05 for _ in range(600)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_no_number_of_images_shows_a_difference_that_is_not_there():
    assert images_needed(np.array([0.0, 0.0]), np.array([1.0, 0.0]), 50, 2.0).tolist() == [math.inf, math.inf]

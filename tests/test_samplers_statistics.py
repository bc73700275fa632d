"""DPM-Solver-v3 and Analytic-DPM: what statistics of a model reduce them to, what they gain, how they are measured."""

import math

import pytest
import torch

from sigmabench.samplers import DDPM, DEIS, RES2M, RES3M, AnalyticDPM, DPMSolverV3, Path
from sigmabench.samplers.conformance.convergence import (
    SCALES,
    jagged_path,
    moment_error,
    normal_quantiles,
    output_moments,
    slope,
    trajectory_error,
)  # fmt: skip
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.model_statistics import measured
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN, Mixture
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import ScaledLinear

NOISE_PREDICTION = ((0.0, 0.0, -1.0, 0.0),)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("ours", "known"),
    [
        (DPMSolverV3(), RES2M()),
        (DPMSolverV3(points=3), RES3M()),
        (DPMSolverV3(NOISE_PREDICTION), DEIS(points=2)),
        (DPMSolverV3(NOISE_PREDICTION, points=3), DEIS(points=3)),
    ],
)
def test_constant_statistics_are_known_methods(ours, known, scale):
    x, path = normal_quantiles(7), jagged_path(scale, 8)
    assert torch.allclose(sample(ours, BIMODAL, x, path), sample(known, BIMODAL, x, path), rtol=1e-12, atol=1e-12)


def gaussian_statistics(problem, count):
    """l = sigma^2 / (alpha^2 v + sigma^2) and f = -l m, so that b = f' = -m dl."""
    rows = []
    for i in range(count):
        at = -4 + 8 * i / (count - 1)
        l = 1 / (1 + math.exp(2 * at) * problem.variance)  # noqa: E741
        rows.append((at, l, 0.0, 2 * problem.mean * l * (1 - l)))
    return tuple(rows)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gaussian_data_are_exact_in_any_number_of_steps(steps, scale):
    """But for the table, whose lines between rows are off by the square of their distance."""
    errors = [
        trajectory_error(DPMSolverV3(gaussian_statistics(GAUSSIAN, count)), GAUSSIAN, jagged_path(scale, steps))
        for count in (41, 641)
    ]
    assert errors[1] < 3e-5
    assert errors[0] > 5 * errors[1]
    assert trajectory_error(RES2M(), GAUSSIAN, jagged_path(scale, steps)) > 0.01


@pytest.mark.parametrize("scale", ["VP", "flow"])
@pytest.mark.parametrize("steps", [2, 6])
def test_analytic_dpm_is_exact_for_gaussian_data_in_any_number_of_steps(steps, scale):
    path = jagged_path(scale, steps)
    own = moment_error(AnalyticDPM(gaussian_statistics(GAUSSIAN, 641)), GAUSSIAN, path)
    assert own < 3e-5
    for variance in ("small", "large"):
        assert moment_error(DDPM(variance=variance), GAUSSIAN, path) > 0.02


def test_analytic_dpm_with_the_default_is_ddpm():
    path = jagged_path("VP", 5)
    assert output_moments(AnalyticDPM(), path) == pytest.approx(output_moments(DDPM(), path), rel=1e-12)


@pytest.fixture(scope="module")
def of_two_modes():
    return statistics_of(BIMODAL)


def statistics_of(problem):
    draws = torch.Generator().manual_seed(0)
    start, noise = (torch.randn(4000, 1, generator=draws, dtype=torch.float64) for _ in range(2))
    return measured(problem, problem.flow(start, PURE_NOISE, CLEAN), noise, ScaledLinear())


def test_measured_statistics_of_gaussian_data_are_the_closed_form():
    for at, l, s, b in statistics_of(GAUSSIAN):  # noqa: E741
        exact = 1 / (1 + math.exp(2 * at) * GAUSSIAN.variance)
        assert l == pytest.approx(exact, abs=1e-6)
        assert (s, b) == (0.0, pytest.approx(2 * GAUSSIAN.mean * exact * (1 - exact), abs=0.01))


def test_measured_statistics_save_steps(of_two_modes):
    """Half the error of the same method on x0, and its order."""
    counts = (5, 10, 20, 40)
    own = [trajectory_error(DPMSolverV3(of_two_modes), BIMODAL, jagged_path("VP", n)) for n in counts]
    plain = [trajectory_error(RES2M(), BIMODAL, jagged_path("VP", n)) for n in counts]
    assert all(a < 0.6 * b for a, b in zip(own, plain, strict=True))
    assert slope(counts, own) > 1.7


def test_statistics_of_one_problem_do_harm_to_another_no_more_than_its_order():
    """Any table leaves a convergent method."""
    other = gaussian_statistics(Mixture(means=(-2.0,), stds=(0.2,)), 41)
    errors = [trajectory_error(DPMSolverV3(other), BIMODAL, jagged_path("VP", n)) for n in (80, 160, 320)]
    assert slope((80, 160, 320), errors) > 1.8


def test_infinite_ends_are_walked():
    path = Path([PURE_NOISE, *jagged_path("flow", 5).levels, CLEAN])
    end = sample(DPMSolverV3(), BIMODAL, normal_quantiles(5), path)
    assert torch.allclose(end, sample(RES2M(), BIMODAL, normal_quantiles(5), path), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "rows of four numbers"),
        (((0.0, 1.0),), "rows of four numbers"),
        (((1.0, 1.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)), "must grow"),
        (((0.0, math.nan, 0.0, 0.0),), "rows of four numbers"),
    ],
)
def test_a_table_that_is_none_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        sample(DPMSolverV3(rows), BIMODAL, normal_quantiles(3), jagged_path("VP", 3))

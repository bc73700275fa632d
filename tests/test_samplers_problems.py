"""The closed forms themselves, against numerical integration."""

import itertools
import math

import pytest
import torch

from sigmabench.samplers import Level
from sigmabench.samplers.conformance.convergence import SCALES, normal_quantiles, slope
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN, Mixture

PROBLEMS = {
    "gaussian": GAUSSIAN,
    "bimodal": BIMODAL,
    "skewed": Mixture((1.0, 3.0, 0.2), (-1.0, 0.5, 2.0), (0.2, 0.6, 1.0)),
}
GRID = torch.linspace(-12, 12, 60_001, dtype=torch.float64)


def density(problem, at):
    parts = zip(problem.weights, problem.means, problem.stds, strict=True)
    return sum(w * torch.exp(-((at - m) ** 2) / (2 * s * s)) / s for w, m, s in parts) / sum(problem.weights)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("level", [Level(1.0, 0.7), Level(0.6, 0.8), Level(0.3, 0.7), PURE_NOISE], ids=str)
def test_the_denoiser_is_the_posterior_mean(problem, level):
    for x in (-2.5, -0.1, 0.4, 3.0):
        posterior = density(problem, GRID) * torch.exp(-((x - level.alpha * GRID) ** 2) / (2 * level.sigma**2))
        expected = ((posterior * GRID).sum() / posterior.sum()).item()
        assert problem(torch.tensor([x], dtype=torch.float64), level).item() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_mean_and_variance_are_those_of_the_density(problem):
    p = density(problem, GRID) / density(problem, GRID).sum()
    mean = (p * GRID).sum().item()
    assert problem.mean == pytest.approx(mean, abs=1e-12)
    assert problem.variance == pytest.approx((p * (GRID - mean) ** 2).sum().item(), rel=1e-10)
    assert problem.moments(Level(0.5, 2.0)) == pytest.approx((0.5 * mean, 0.25 * problem.variance + 4))


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("scale", SCALES)
def test_the_flow_solves_the_probability_flow_ode(problem, scale):
    """d(x / alpha) / d(sigma / alpha) = (x - alpha x0) / sigma by classical Runge-Kutta, fourth order."""
    first, last, make = 4.0, 0.3, SCALES[scale]
    x = problem.flow(normal_quantiles(9), PURE_NOISE, make(first))
    exact, errors = problem.flow(x, make(first), make(last)), []

    def slope_at(k, y):
        return (y - problem(y, Level(1.0, k))) / k

    for steps in (100, 200):
        y, grid = x / make(first).alpha, [first * (last / first) ** (i / steps) for i in range(steps + 1)]
        for k, k_next in itertools.pairwise(grid):
            h = k_next - k
            a = slope_at(k, y)
            b = slope_at(k + h / 2, y + h / 2 * a)
            c = slope_at(k + h / 2, y + h / 2 * b)
            d = slope_at(k_next, y + h * c)
            y = y + h / 6 * (a + 2 * b + 2 * c + d)
        errors.append((y * make(last).alpha - exact).abs().max().item())
    assert errors[-1] < 2e-7
    assert slope((100, 200), errors, floor=0) == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_the_flow_runs_both_ways_and_composes(problem):
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    s, middle, t = Level(1.0, 10.0), Level(0.6, 0.8), CLEAN
    down = problem.flow(x, s, t)
    assert torch.allclose(problem.flow(down, t, s), x, atol=1e-11)
    assert torch.allclose(problem.flow(problem.flow(x, s, middle), middle, t), down, atol=1e-11)
    assert (down.diff() > 0).all()


def test_the_flow_is_right_far_out_in_the_tails():
    """Far out the widest component rules: x_t / x_s tends to the ratio of its deviations, here sqrt(1 + 9)."""
    problem, s, t = Mixture((0.5, 0.5), (0.0, 0.0), (0.5, 1.0)), Level(1.0, 0.0), Level(1.0, 3.0)
    x = torch.tensor([-30.0, 30.0], dtype=torch.float64)
    assert torch.allclose(problem.flow(x, s, t), x * math.sqrt(10), rtol=1e-2)
    assert torch.allclose(problem.flow(problem.flow(x, s, t), t, s), x, rtol=1e-12)


def test_a_gaussian_flows_along_a_straight_map():
    s, t = Level(0.2, 0.9), Level(0.8, 0.5)
    x = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    deviations = [math.sqrt(level.alpha**2 * 0.25 + level.sigma**2) for level in (s, t)]
    expected = 0.8 * 0.6 + deviations[1] / deviations[0] * (x - 0.2 * 0.6)
    assert torch.allclose(GAUSSIAN.flow(x, s, t), expected, rtol=1e-15)


def test_a_level_for_each_row_is_the_same_as_one_call_a_row():
    levels = [PURE_NOISE, Level(0.6, 0.8), Level(1.0, 5.0), CLEAN]
    x = torch.linspace(-2, 2, 24, dtype=torch.float64).view(4, 2, 3)
    rows = [BIMODAL(x[i : i + 1], level) for i, level in enumerate(levels)]
    assert torch.equal(BIMODAL(x, levels), torch.cat(rows))


def test_the_denoiser_knows_both_ends():
    x = torch.tensor([-3.0, 0.2], dtype=torch.float64)
    assert torch.allclose(BIMODAL(x, PURE_NOISE), torch.full_like(x, BIMODAL.mean), rtol=1e-15)
    assert torch.allclose(BIMODAL(x, CLEAN), x, rtol=1e-14)
    assert torch.allclose(BIMODAL(x, Level(0.5, 0.0)), x / 0.5, rtol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_denoiser_answers_in_the_dtype_of_the_question(dtype):
    x = torch.tensor([0.5, -0.25], dtype=dtype)
    answer = BIMODAL(x, Level(1.0, 0.5))
    assert answer.dtype == dtype
    assert torch.equal(answer, BIMODAL(x.double(), Level(1.0, 0.5)).to(dtype))

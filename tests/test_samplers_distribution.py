"""Weak order on data that is not Gaussian, without Monte Carlo: densities carried through a sampler by quadrature.

In one dimension a step is x' = m(x, x_last) + u z, so p(x', x) = integral N(x'; m, u^2) p(x, x_last) dx_last on a grid.
m and u are read from the sampler itself: a run of two steps whose host sets x before each of them.
"""

import math
from itertools import pairwise

import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss

from sigmabench.samplers import DDIM, DDPM, DPMpp2MSDE, EulerAncestral, Path
from sigmabench.samplers.ancestral_second_order import DPM2Ancestral, DPMpp2SAncestral, RESMultistepAncestral
from sigmabench.samplers.conformance.convergence import slope
from sigmabench.samplers.conformance.trial import walk
from sigmabench.samplers.er_sde import ERSDE
from sigmabench.samplers.euler_maruyama import EulerMaruyama
from sigmabench.samplers.level import variance_preserving
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.sde_single_step import DPMppSDE, Seeds2, Seeds3
from sigmabench.samplers.testing import label

GRID = torch.linspace(-4, 4, 100, dtype=torch.float64)
DX = (GRID[1] - GRID[0]).item()
STEPS = (10, 20)


def normal(x, mean, variance):
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / (2 * math.pi * variance) ** 0.5


def marginal(level):
    parts = zip(BIMODAL.weights, BIMODAL.means, BIMODAL.stds, strict=True)
    return sum(w * normal(GRID, level.alpha * m, level.alpha**2 * v**2 + level.sigma**2) for w, m, v in parts)


def transition(sampler, levels):
    """Mean m (x, x_last) of the last step and its deviation u; one column where there is no step before it."""
    x, x_last = torch.meshgrid(GRID, GRID if len(levels) > 2 else GRID[:1], indexing="ij")
    edits = {0: x_last, 1: x} if len(levels) > 2 else {0: x}
    path = Path(levels)
    mean = walk(sampler, BIMODAL, x, path, lambda s, t: torch.zeros_like(x), edits)
    noisy = walk(sampler, BIMODAL, x, path, lambda s, t: torch.ones_like(x), edits)
    return mean, (noisy - mean)[0, 0].item()


def distribution_error(sampler, steps, memory):
    """Integral of |p - exact| at the end, which bounds the error of any expectation."""
    sizes = [2.0 + i % 2 for i in range(steps)]
    levels = [variance_preserving(3.0 * 0.1 ** (sum(sizes[:i]) / sum(sizes))) for i in range(steps + 1)]
    p = marginal(levels[0])[:, None]
    for i in range(steps):
        mean, u = transition(sampler, levels[max(0, i - memory) : i + 2])
        weight = 1.0 if mean.shape[1] == 1 else DX
        joint = (normal(GRID[:, None, None], mean, u * u) * p).sum(-1) * weight  # (x', x)
        p = joint if memory else joint.sum(1, keepdim=True) * DX
    end = p.sum(1) * (DX if memory else 1.0)
    return (end - marginal(levels[-1])).abs().sum().item() * DX


@pytest.mark.parametrize(
    ("sampler", "memory", "order"),
    [
        (EulerAncestral(), 0, 1.0),
        (EulerAncestral(eta=0.7), 0, 1.0),
        (DDIM(eta=0.7), 0, 1.0),
        (DDPM(variance="large"), 0, 1.0),
        (DPMpp2MSDE(), 1, 2.0),
        (DPMpp2MSDE(solver="heun"), 1, 2.0),
        (DPMpp2MSDE(eta=0.5), 1, 2.0),
        (DPM2Ancestral(), 0, 2.0),
        (DPMpp2SAncestral(), 0, 2.0),
        (DPMpp2SAncestral(eta=0.5), 0, 2.0),
        (RESMultistepAncestral(), 1, 2.0),
        (RESMultistepAncestral(eta=0.5), 1, 2.0),
        (ERSDE(stages=2, scaler="sde"), 1, 2.0),
        (EulerMaruyama(), 0, 1.0),
    ],
    ids=lambda value: label(value) if callable(value) else None,
)
def test_the_whole_distribution_converges_with_the_declared_weak_order(sampler, memory, order):
    errors = [distribution_error(sampler, steps, memory) for steps in STEPS]
    assert slope(STEPS, errors) > order - 0.25
    assert sampler.order == order


class Given:
    """The first draws of a step are these values, one of each row; the last is as told."""

    def __init__(self, draws, last):
        self.draws = [*draws, last]

    def __call__(self, s, t):
        return self.draws.pop(0)


def staged_error(sampler, steps, draws):
    """As ``distribution_error`` for a single-step method with noise inside: quadrature over all draws but the last."""
    nodes, weights = (torch.from_numpy(part) for part in hermegauss(9))
    grids = torch.meshgrid(*[nodes] * (draws - 1), GRID, indexing="ij")
    *inner, x = (grid.flatten().unsqueeze(1) for grid in grids)
    mass = torch.ones_like(x)
    for z in inner:
        mass = mass * (weights / weights.sum())[(nodes == z).int().argmax(1)].unsqueeze(1)
    levels = [variance_preserving(3.0 * 0.1 ** (i / steps)) for i in range(steps + 1)]
    p = marginal(levels[0])
    for s, t in pairwise(levels):
        still, loud = (walk(sampler, BIMODAL, x, Path([s, t]), Given(inner, x * 0 + last)) for last in (0.0, 1.0))
        u = (loud - still)[0].item()
        carried = mass.squeeze(1) * p.repeat(len(x) // len(p)) * DX
        p = (normal(GRID[:, None], still.squeeze(1), u * u) * carried).sum(1)
    return (p - marginal(levels[-1])).abs().sum().item() * DX


@pytest.mark.parametrize(
    ("sampler", "draws"),
    [(DPMppSDE(), 2), (DPMppSDE(eta=0.5), 2), (Seeds2(), 2), (Seeds2(solver="phi_2"), 2), (Seeds3(), 3)],
    ids=lambda value: label(value) if callable(value) else None,
)
def test_the_whole_distribution_converges_with_second_order_when_noise_is_drawn_inside_a_step(sampler, draws):
    errors = [staged_error(sampler, steps, draws) for steps in STEPS]
    assert slope(STEPS, errors) > 1.75

"""Weak order on data that is not Gaussian, without Monte Carlo: densities carried through a sampler by quadrature.

In one dimension a step is x' = m(x, x_last) + u z, so p(x', x) = integral N(x'; m, u^2) p(x, x_last) dx_last on a grid.
m and u are read from the sampler itself: a run of two steps whose host sets x before each of them.
"""

import math

import pytest
import torch
from sigmabench.samplers import DDIM, DDPM, DPMpp2MSDE, EulerAncestral, Path
from sigmabench.samplers.conformance.convergence import slope
from sigmabench.samplers.conformance.trial import walk
from sigmabench.samplers.level import variance_preserving
from sigmabench.samplers.problems import BIMODAL
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
    ],
    ids=lambda value: label(value) if callable(value) else None,
)
def test_the_whole_distribution_converges_with_the_declared_weak_order(sampler, memory, order):
    errors = [distribution_error(sampler, steps, memory) for steps in STEPS]
    assert slope(STEPS, errors) > order - 0.25
    assert sampler.order == order

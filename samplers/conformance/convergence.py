"""How fast a sampler approaches the exact answer: errors against closed forms, and the order they fall with.

    order = -d log(error) / d log(steps)

Deterministic samplers are measured by trajectory, stochastic ones by the mean and standard deviation of what they
return (weak order), which a linear problem gives without Monte Carlo: see ``output_moments``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor

from ..level import CLEAN, PURE_NOISE, Level, variance_preserving
from ..noise import no_noise
from ..path import Path, ends
from ..problems import GAUSSIAN, Mixture
from ..protocols import Denoiser, Noise, Sampler
from .trial import normal_quantiles, walk

Solve = Callable[[Denoiser, Tensor, Path, Noise], Tensor]
"""Anything that takes x from the first level of a path to its last: a sampler that walks, or another program's loop."""

SCALES: dict[str, Callable[[float], Level]] = {
    "VE": lambda sigma: Level(1.0, sigma),
    "VP": variance_preserving,
    "flow": lambda sigma: Level(1 / (1 + sigma), sigma / (1 + sigma)),
}
"""The three families of processes: from sigma/alpha to the level that carries it."""


def jagged_path(scale: str, steps: int, first: float = 5.0, last: float = 0.1) -> Path:
    """Steps in log(sigma/alpha) of alternating size, 2 to 3, between two finite sigma/alpha.

    Refining it keeps the ratio of neighbouring steps, so that a multistep method whose coefficients are only right for
    equal steps loses its order here.
    """
    sizes = [2.0 + i % 2 for i in range(steps)]
    done = [sum(sizes[:i]) / sum(sizes) for i in range(steps + 1)]
    return Path(SCALES[scale](first * (last / first) ** share) for share in done)


def pure_noise_path(scale: str, steps: int, last: float = 0.1) -> Path:
    """From alpha = 0, exactly, in equal steps of u = sigma / (alpha + sigma), to a finite sigma/alpha or 0."""
    stride = 1 / (1 + last) / steps  # of 1 - u = alpha / (alpha + sigma)
    noisy = [SCALES[scale](1 / (i * stride) - 1) for i in range(1, steps + bool(last))]
    return Path([PURE_NOISE, *noisy] + ([] if last else [CLEAN]))


def trajectory_error(sampler: Sampler, problem: Mixture, path: Path) -> float:
    """Root mean square distance from the exact probability-flow solution, in units of the data."""
    return solution_error(partial(walk, sampler), problem, path, ends(sampler, path))


def solution_error(solve: Solve, problem: Mixture, path: Path, between: tuple[Level, Level] | None = None) -> float:
    """``trajectory_error`` of anything that solves, from the first level of the path to its last or as told."""
    first, last = between or (path.levels[0], path.levels[-1])
    x, exact = _solution(problem, first, last)
    error = solve(problem, x.clone(), path, no_noise) - exact
    return error.square().mean().sqrt().item() / (last.alpha or last.sigma)


@lru_cache(maxsize=64)
def _solution(problem: Mixture, first: Level, last: Level) -> tuple[Tensor, Tensor]:
    """Where a sample of the data is at two levels."""
    x = problem.flow(normal_quantiles(24), PURE_NOISE, first)
    return x, problem.flow(x, first, last)


def output_moments(sampler: Sampler, path: Path, problem: Mixture = GAUSSIAN) -> tuple[float, float]:
    """Exact mean and standard deviation of what a linear sampler returns for Gaussian data.

    The denoiser of a Gaussian is linear in x, so the end is c + a x_start + sum_k b_k z_k with z_k the k-th noise asked
    for. One run of one batch reads all coefficients: nothing in row 0, x = 1 in row 1, z_k = 1 in row 2 + k.
    """
    return solution_moments(partial(walk, sampler), path, problem)


def solution_moments(solve: Solve, path: Path, problem: Mixture = GAUSSIAN) -> tuple[float, float]:
    """``output_moments`` of anything that solves."""
    draws = OneHot(rows=1)
    solve(problem, torch.zeros(1, 1, dtype=torch.float64), path, draws)
    draws = OneHot(rows=2 + draws.count)
    x = torch.zeros(draws.rows, 1, dtype=torch.float64)
    x[1] = 1.0
    c, shifted, *b = solve(problem, x, path, draws).squeeze(1).tolist()
    mean, variance = problem.moments(path.levels[0])
    a = shifted - c
    return c + a * mean, math.sqrt(a * a * variance + sum((end - c) ** 2 for end in b))


def moment_error(sampler: Sampler, problem: Mixture, path: Path) -> float:
    """Distance of (mean, standard deviation) of the output from the exact marginal's, in units of the data."""
    return distribution_error(partial(walk, sampler), problem, path)


def distribution_error(solve: Solve, problem: Mixture, path: Path) -> float:
    """``moment_error`` of anything that solves."""
    last = path.levels[-1]
    mean, std = solution_moments(solve, path, problem)
    exact_mean, exact_variance = problem.moments(last)
    return math.hypot(mean - exact_mean, std - math.sqrt(exact_variance)) / last.alpha


def slope(steps: Sequence[float], errors: Sequence[float], floor: float = 1e-10) -> float:
    """The order of convergence by least squares in log-log: inf if errors are below the floor, nan if not finite."""
    if not all(math.isfinite(e) for e in errors):
        return math.nan
    points = [(math.log(n), math.log(e)) for n, e in zip(steps, errors, strict=True) if e > floor]
    if len(points) < 2:
        return math.inf
    center_n, center_e = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    over = sum((n - center_n) * (e - center_e) for n, e in points)
    return -over / sum((n - center_n) ** 2 for n, _ in points)


class OneHot:
    """The k-th noise asked for is 1 in row 2 + k and 0 elsewhere."""

    def __init__(self, rows: int) -> None:
        self.rows, self.count = rows, 0

    def __call__(self, s: Level, t: Level) -> Tensor:
        z = torch.zeros(self.rows, 1, dtype=torch.float64)
        z[2 + self.count : 3 + self.count] = 1.0
        self.count += 1
        return z

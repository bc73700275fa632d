"""Errors of a solver against closed forms, its evaluations counted, and the order its errors fall with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ...samplers.conformance.convergence import OneHot, Solve, distribution_error, slope, solution_error
from ...samplers.level import Level
from ...samplers.path import Path, ends
from ...samplers.problems import BIMODAL, GAUSSIAN, Mixture
from ...samplers.protocols import Denoiser, Noise
from .methods import Method


def error_of(method: Method, path: Path, problem: Mixture | None = None) -> tuple[float, float]:
    """Error of one run, in units of the data, and the model evaluations it took.

    Of the distribution's mean and deviation on Gaussian data for a method that draws noise, else of the trajectory on
    two modes.
    """
    assert method.solve
    counted = _Counted(method.solve)
    if method.stochastic:
        return distribution_error(counted, problem or GAUSSIAN, path), counted.evaluations
    return solution_error(counted, problem or BIMODAL, path, ends(method, path)), counted.evaluations


def error_if_any(method: Method, path: Path, problem: Mixture | None = None) -> tuple[float, float]:
    """``error_of``, nan where the run raises: a program that cannot start there may say so in any way."""
    try:
        return error_of(method, path, problem)
    except Exception:
        return math.nan, 0.0


class _Counted:
    """A solver that remembers how often its last run asked the denoiser, a row of x."""

    def __init__(self, solve: Solve) -> None:
        self.solve, self.evaluations = solve, 0.0

    def __call__(self, denoiser: Denoiser, x: Tensor, path: Path, noise: Noise) -> Tensor:
        self.evaluations, images = 0.0, len(x)

        def counting(x: Tensor, level: Level | Sequence[Level]) -> Tensor:
            self.evaluations += len(x) / images  # a method with error control has a run for each image
            return denoiser(x, level)

        with torch.no_grad():
            return self.solve(counting, x, path, noise)


def measured_order(method: Method, steps: Sequence[int], errors: Sequence[tuple[float, float]]) -> float:
    """The slope of log error over the three finest step counts whose errors are no rounding.

    Over evaluations for a method that chooses their number itself; nan if a run ends in none or does not converge to a
    finite value, inf if all errors are rounding.
    """
    if not all(math.isfinite(error) for error, _ in errors):
        return math.nan
    chooses = method.evaluations is None and len({nfe / n for n, (_, nfe) in zip(steps, errors, strict=True)}) > 1
    counts = [nfe for _, nfe in errors] if chooses else [float(n) for n in steps]
    points = [(n, error) for n, (error, _) in zip(counts, errors, strict=True) if error > method.floor][-3:]
    if len({n for n, _ in points}) < 2:
        return math.inf if not points else math.nan
    return slope([n for n, _ in points], [error for _, error in points], floor=0.0)


def error_at(nfe: int, errors: Sequence[tuple[float, float]]) -> float:
    """The error at that number of evaluations, on the line between measured points in log-log; nan outside of them."""
    points = sorted((n, error) for error, n in errors)
    for (low, above), (high, below) in pairwise(points):
        if low <= nfe <= high and low < high and above > 0 and below > 0:
            share = math.log(nfe / low) / math.log(high / low)
            return above ** (1 - share) * below**share
    return math.nan


def is_linear(solve: Solve, path: Path) -> bool:
    """Whether twice the noise moves the end twice as far, without which moments cannot be read from single runs."""
    ends = []
    for size in (0.0, 1.0, 2.0):
        draws = OneHot(rows=3)  # the first noise, in the last row
        noise = lambda s, t, size=size, draws=draws: size * draws(s, t)  # noqa: E731
        ends.append(solve(GAUSSIAN, torch.full((3, 1), 0.5, dtype=torch.float64), path, noise)[2].item())
    still, once, twice = ends
    return abs((twice - still) - 2 * (once - still)) < 1e-4 * (abs(once - still) + 1e-4)

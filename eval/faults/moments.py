"""Exact mean and deviation of what another program's sampler returns for Gaussian data, without Monte Carlo.

The denoiser of a Gaussian is linear in x, so the end is c + a x_start + sum_k b_k z_k. One run of one batch reads all
coefficients, as ``conformance.convergence.output_moments`` does for ours. Noise may be asked for by interval, as
increments of one Brownian path: then z_k belong to the parts between all points that a first run asks about.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor

from ...samplers import Level
from ...samplers.problems import GAUSSIAN

Noise = Callable[[object, object], Tensor]


class Increments:
    """Unit noise of an interval from parts that are 1 in a row of their own; the first run only takes notes."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.points: list[float] = []
        self.rows = 1

    def __call__(self, s: object, t: object) -> Tensor:
        low, high = sorted((float(s), float(t)))  # type: ignore[arg-type]
        z = torch.zeros(self.rows, 1, 1, 1, dtype=torch.float64)
        self.asked += [low, high]
        for k, (a, b) in enumerate(zip(self.points, self.points[1:], strict=False)):
            if low * (1 - 1e-9) <= a and b <= high * (1 + 1e-9):
                z[2 + k] = math.sqrt((b - a) / (high - low))
        return z

    def freeze(self) -> None:
        for point in sorted(self.asked):
            if not self.points or point > self.points[-1] * (1 + 1e-9):
                self.points.append(point)
        self.rows = 1 + max(1, len(self.points))


class Draws:
    """``torch.randn_like`` whose k-th call is 1 in row 2 + k."""

    def __init__(self) -> None:
        self.count, self.rows = 0, 1

    def __call__(self, x: Tensor) -> Tensor:
        z = torch.zeros(self.rows, 1, 1, 1, dtype=torch.float64)
        z[2 + self.count : 3 + self.count] = 1.0
        self.count += 1
        return z


def moments_of(run: Callable[[Tensor, Noise], Tensor], first: Level) -> tuple[float, float]:
    """Mean and deviation of the end of ``run(x, noise)`` from x at the first level, whichever way it draws."""
    noise, draws = Increments(), Draws()
    x = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    with mock.patch.object(torch, "randn_like", draws):
        run(x, noise)
        noise.freeze()
        noise.rows = draws.rows = max(noise.rows, 2 + draws.count)
        draws.count = 0
        x = torch.zeros(noise.rows, 1, 1, 1, dtype=torch.float64)
        x[1] = 1.0
        c, shifted, *b = run(x, noise).flatten().tolist()
    mean, variance = GAUSSIAN.moments(first)
    a = shifted - c
    return c + a * mean, math.sqrt(a * a * variance + sum((end - c) ** 2 for end in b))

"""A problem that a third-order method solves exactly: x0 a parabola in log-SNR, whatever x is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...samplers import Level
from ...samplers.reverse_sde import moments
from ...samplers.run import sample

STEPS = (0.0, 1e-4, 2e-4, 0.7)
"""In log(alpha/sigma): the history is complete when the only long step begins, and holds a parabola."""
PARABOLA = "distance from the solution for x0 a parabola in log-SNR"
HALF = "The second divided difference stands where twice as much, the second derivative, belongs."


def parabola(half_logsnr: float) -> float:
    return half_logsnr**2


def solution(x: Tensor, eta: float) -> Tensor:
    """Of the last step, from x at its start: e^(-eta h) x + the integral of the parabola."""
    start, h = STEPS[-2], STEPS[-1] - STEPS[-2]
    whole, linear, square = moments((1 + eta) * h, 3)
    drift = parabola(start) * whole + 2 * start * h * linear + h * h * square
    return x * math.exp(-(1 + eta) * h) + drift


def distance(run: Callable[[Sequence[float]], Tensor], eta: float = 0.0) -> float:
    """Distance of a run's last step from its solution; the run before it gives the start."""
    ends = [run([math.exp(-v) for v in STEPS[:count]]) for count in (3, 4)]
    return (ends[1] - solution(ends[0], eta)).abs().max().item()


def ours_on(sampler: Any, eta: float = 0.0) -> float:
    """Distance of one of ours, without noise."""

    def run(sigmas: Sequence[float]) -> Tensor:
        x = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
        levels = [Level(1.0, sigma) for sigma in sigmas]
        return sample(
            sampler,
            lambda x, level: torch.full_like(x, parabola(level.half_logsnr)),
            x,
            levels,
            lambda s, t: torch.zeros_like(x),
        )

    return distance(run, eta)

"""Exact answers to hold programs against: errors of a run on the closed-form problems, and how fast they fall."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ...plugins.registry import build
from ...samplers import Level
from ...samplers.conformance.convergence import slope
from ...samplers.conformance.trial import normal_quantiles
from ...samplers.level import PURE_NOISE
from ...samplers.problems import BIMODAL
from ...samplers.run import sample

Run = Callable[[Tensor, Sequence[Level]], Tensor]
"""Walks x along levels."""


def error(run: Run, levels: Sequence[Level]) -> float:
    """Root mean square distance of the end from the exact probability-flow solution, for data of two modes."""
    first, last = levels[0], levels[-1]
    x = BIMODAL.flow(normal_quantiles(24), PURE_NOISE, first).view(1, 1, 4, 6)
    return (run(x, levels) - BIMODAL.flow(x, first, last)).square().mean().sqrt().item() / last.alpha


def ours(plugin: str) -> Run:
    """Our sampler of this name and settings, for data of two modes."""
    sampler = build("sampler", plugin)
    return lambda x, levels: sample(sampler, BIMODAL, x, levels)


def order(run: Callable[[int], float], steps: Sequence[int] = (70, 150, 310)) -> float:
    """The order with which errors fall from run to run; the default numbers of steps do not divide 1000."""
    return slope(steps, [run(n) for n in steps])

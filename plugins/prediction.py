"""From what a network says to x0: the one place where predictions are converted.

At level (alpha, sigma), x = alpha * x0 + sigma * eps, n = sqrt(alpha^2 + sigma^2), and the network's output is

    eps     eps                                     x0 = (x - sigma * eps) / alpha
    v       (alpha * eps - sigma * x0) / n          x0 = (alpha * x - sigma * n * v) / n^2      arXiv:2202.00512, app. D
    x0      x0
    flow    eps - x0                                x0 = (x - sigma * flow) / (alpha + sigma)   arXiv:2403.03206, eq. 13

The formulas hold in any scale of x. Only the network's input has one of its own, that of its schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..samplers.level import Level
from ..samplers.moved import tensor_like
from ..samplers.protocols import NoiseSchedule

KINDS = ("eps", "v", "x0", "flow")
TOLERANCE = 1e-4
"""How much noisier than the noisiest trained level sigma/alpha may be, relatively: room for float32 arithmetic."""

Network = Callable[[Tensor, Tensor], Tensor]
"""``(x in the schedule's own scale (B, *), times (B,)) -> output (B, *)``."""


def grid_time(schedule: NoiseSchedule, level: Level) -> float:
    """The timestep of a discrete schedule, 0 ... T - 1, continuous between; cleaner than all of them is 0."""
    return max(0.0, schedule.time(level) * schedule.timesteps - 1)


def flow_time(schedule: NoiseSchedule, level: Level) -> float:
    """T * sigma at alpha + sigma = 1: the network knows the level itself, so a shift of the steps is not in it."""
    return schedule.timesteps * level.sigma / (level.alpha + level.sigma)


def angle_time(schedule: NoiseSchedule, level: Level) -> float:
    """The schedule's own time, 0 ... 1: networks of continuous time, such as Stable Audio's, know no grid."""
    return schedule.time(level)


def coefficients(kind: str, level: Level) -> tuple[float, float]:
    """(p, q) such that x0 = p * x + q * output.

    Raises:
        ValueError: for an eps prediction at alpha = 0, where x is eps and says nothing about x0.
    """
    alpha, sigma = level
    if kind == "x0":
        return 0.0, 1.0
    if kind == "flow":
        return 1 / (alpha + sigma), -sigma / (alpha + sigma)
    if kind == "v":
        return alpha / level.norm**2, -sigma / level.norm
    if not alpha:
        raise ValueError(
            "an eps prediction says nothing about the image at alpha = 0: zero terminal SNR and flow need a model that "
            "predicts v, x0 or flow. Use such a model, or start this one at a level with alpha > 0"
        )
    return 1 / alpha, -sigma / alpha


class Terms(NamedTuple):
    """How a network is asked at one level: it sees scale * x at ``time``, and x0 = p * x + q * output."""

    scale: float
    time: float
    p: float
    q: float


@dataclass(frozen=True)
class Prediction:
    """What a network predicts, the schedule it learned it on, and how it is told the time.

    Raises:
        ValueError: for a kind that is none of eps, v, x0, flow.
    """

    kind: str
    schedule: NoiseSchedule
    time: Callable[[NoiseSchedule, Level], float] = grid_time

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"prediction {self.kind!r}: must be one of {', '.join(map(repr, KINDS))}")

    def denoise(self, network: Network, x: Tensor, levels: Sequence[Level]) -> Tensor:
        """E[x0 | x] (B, *), one level per row, x in any scale; computed in float32 at least, returned in x's dtype.

        Raises:
            ValueError: for a level that the network was not trained for, or that its prediction cannot serve.
        """
        if len(levels) != len(x):
            raise ValueError(f"{len(levels)} levels for {len(x)} rows of x: give one level per row")
        terms = {level: self.terms(level) for level in dict.fromkeys(levels)}
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        if len(terms) == 1:
            ((scale, time, p, q),) = terms.values()
            output = network(wide * scale, wide.new_full((len(x),), time))
            return (wide * p + output.to(wide.dtype) * q).to(x.dtype)
        rows = tensor_like([terms[level] for level in levels], wide).T
        scales, ps, qs = (rows[i].view(-1, *[1] * (x.ndim - 1)) for i in (0, 2, 3))
        output = network(wide * scales, rows[1].contiguous())
        return (wide * ps + output.to(wide.dtype) * qs).to(x.dtype)

    def terms(self, level: Level) -> Terms:
        """
        Raises:
            ValueError: for a level that the network was not trained for, or that its prediction cannot serve.
        """
        p, q = coefficients(self.kind, level)
        top = self.schedule.level(1.0)
        if level.sigma * top.alpha > top.sigma * level.alpha * (1 + TOLERANCE):
            raise ValueError(
                f"sigma/alpha = {level.ve_sigma:g} is noisier than anything this model was trained on, which ends at "
                f"{top.ve_sigma:g}; start there, or use a model with zero terminal SNR or flow for more noise"
            )
        own = self.schedule.project(level)
        return Terms(own.norm / level.norm, self.time(self.schedule, own), p, q)

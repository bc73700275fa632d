"""Adaptive projected guidance: without the part that only saturates."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings
from .cfg import CFG
from .space import SPACES, dot, from_space, length, pair, share

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


@settings
class APG:
    """cond + (scale - 1) (d_perp + eta d_par): the difference d = cond - uncond with momentum, cut to a length, split.

    d <- d + momentum * (d of the evaluation before), then d * min(1, threshold / |d|), then the parts across and along
    cond, of each image. The paper combines x0. With eta = 1, no threshold and no momentum it is ``cfg``.
    Sadat, Hilliges, Weber 2024, arXiv:2410.02416, Algorithm 1.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    eta: float = setting(0.0, low=0.0, high=10.0, help="what stays of the part along cond")
    threshold: float = setting(15.0, low=0.0, help="longest difference; 0 is no limit")
    momentum: float = setting(-0.5, low=-1.0, high=1.0, help="negative pushes away from earlier differences")
    space: str = setting("x0", choices=SPACES, help="what is combined")
    aliases: ClassVar[tuple[str, ...]] = ("APG", "AdaptiveProjectedGuidance")

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        average: Tensor | None = None

        def combine(x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
            nonlocal average
            if self.scale == 1:
                return predictions["cond"]
            cond, uncond = pair(self.space, predictions, x, level)
            average = cond - uncond if average is None else cond - uncond + self.momentum * average
            return from_space(self.space, cond + (self.scale - 1) * self._update(average, cond), x, level)

        return combine

    def _update(self, difference: Tensor, cond: Tensor) -> Tensor:
        if self.threshold:
            difference = difference * share(self.threshold, length(difference), 1.0).clamp(max=1.0)
        along = share(dot(difference, cond), dot(cond, cond)) * cond
        return difference - along + self.eta * along


@settings
class APGMix:
    """Plain guidance by scale_first for the first evaluations, then ``apg``, with its momentum since the start.

    For HunyuanImage 2.1, a flow model, whose velocities it combines: https://github.com/Tencent-Hunyuan/HunyuanImage-2.1.
    """

    scale: float = setting(10.0, low=0.0, high=1000.0, help="of apg")
    scale_first: float = setting(3.5, low=0.0, high=1000.0, help="of plain guidance")
    first: int = setting(6, low=0, high=1000, help="evaluations with plain guidance")
    eta: float = setting(0.0, low=0.0, high=10.0, help="what stays of the part along cond")
    threshold: float = setting(10.0, low=0.0, help="longest difference; 0 is no limit")
    momentum: float = setting(-0.5, low=-1.0, high=1.0, help="negative pushes away from earlier differences")
    space: str = setting("flow", choices=SPACES, help="what is combined")
    aliases: ClassVar[tuple[str, ...]] = ("AdaptiveProjectedMixGuidance",)

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == self.scale_first == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        plain, evaluations = CFG(self.scale_first).start(), count()
        projected = APG(self.scale, self.eta, self.threshold, self.momentum, self.space).start()

        def combine(x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
            later = projected(x, level, predictions)
            return plain(x, level, predictions) if next(evaluations) < self.first else later

        return combine

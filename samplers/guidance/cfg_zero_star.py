"""CFG-Zero*: guidance for flow models with the best scale of uncond, and no motion at first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings
from .space import SPACES, dot, from_space, pair, share

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


@settings
class CFGZeroStar:
    """s uncond + scale (cond - s uncond), s = <cond, uncond> / |uncond|^2 of each image; 0 for the first evaluations.

    The paper combines velocities of rectified flow, of which the first, from pure noise, are worse than none.
    Fan et al. 2025, arXiv:2503.18886, Algorithm 1.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none, and no zero start")
    zero_init: int = setting(1, low=0, high=1000, help="evaluations at the start whose velocity is 0")
    space: str = setting("flow", choices=SPACES, help="what is combined, and is 0 at first")
    aliases: ClassVar[tuple[str, ...]] = ("CFGZeroStar", "CFGZeroStarAndInit", "ClassifierFreeZeroStarGuidance")

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        evaluations = count()

        def combine(x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
            cond = predictions["cond"]
            if self.scale == 1:
                return cond
            if next(evaluations) < self.zero_init:
                return from_space(self.space, cond * 0.0, x, level)
            cond, uncond = pair(self.space, predictions, x, level)
            uncond = share(dot(cond, uncond), dot(uncond, uncond), 1.0) * uncond
            return from_space(self.space, uncond.lerp(cond, self.scale), x, level)

        return combine

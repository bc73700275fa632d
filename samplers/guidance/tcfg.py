"""Tangential damping: guidance without the part of uncond that leaves the direction it shares with cond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings
from .space import SPACES, dot, from_space, pair

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


@settings
class TCFG:
    """u' + scale (cond - u'), u' the projection of uncond on the first right singular vector of (cond, uncond).

    That vector is a cond + b uncond over the first singular value, (a, b) = (cos, sin) of half the angle of
    (|cond|^2 - |uncond|^2, 2 <cond, uncond>), so that u' = b (a cond + b uncond). Of each image.
    Kwon et al. 2025, arXiv:2503.18137, Algorithm 1.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    space: str = setting("eps", choices=SPACES, help="what is combined")
    aliases: ClassVar[tuple[str, ...]] = ("TCFG", "TangentialClassifierFreeGuidance")

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        if self.scale == 1:
            return predictions["cond"]
        cond, uncond = pair(self.space, predictions, x, level)
        angle = (2 * dot(cond, uncond)).atan2(dot(cond, cond) - dot(uncond, uncond)) / 2
        a, b = angle.cos(), angle.sin()
        return from_space(self.space, (b * (a * cond + b * uncond)).lerp(cond, self.scale), x, level)

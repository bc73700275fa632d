"""Tangential damping: guidance without the part of uncond that leaves the direction it shares with cond."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..settings import setting, settings
from . import of_two
from .space import SPACES, dot

if TYPE_CHECKING:
    from torch import Tensor


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

    branches, start = of_two.branches, of_two.start

    def guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        angle = (2 * dot(cond, uncond)).atan2(dot(cond, cond) - dot(uncond, uncond)) / 2
        a, b = angle.cos(), angle.sin()
        return (b * (a * cond + b * uncond)).lerp(cond, self.scale)

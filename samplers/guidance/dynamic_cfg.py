"""Classifier-free guidance whose scale changes along the path."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


@settings
class DynamicCFG:
    """uncond + w (cond - uncond), w = scale_noisy + (scale - scale_noisy) * g(1 - u), u = 2/pi atan(sigma/alpha).

    u is 1 at pure noise and 0 at clean; g(p) is p ("linear") or (1 - cos(pi p)) / 2 ("cosine"). Guidance that grows
    along the path keeps diversity. Where w is 1 only cond is evaluated. Wang et al. 2024, arXiv:2404.13040.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="where the image is clean")
    scale_noisy: float = setting(1.0, low=0.0, high=1000.0, help="at pure noise")
    shape: str = setting("linear", choices=("linear", "cosine"), help="the way between both")
    aliases: ClassVar[tuple[str, ...]] = ("scheduled_cfg",)

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self._scale(level) == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        scale = self._scale(level)
        return predictions["cond"] if scale == 1 else predictions["uncond"].lerp(predictions["cond"], scale)

    def _scale(self, level: Level) -> float:
        progress = math.atan2(level.alpha, level.sigma) / (math.pi / 2)
        if self.shape == "cosine":
            progress = (1 - math.cos(math.pi * progress)) / 2
        return self.scale_noisy + (self.scale - self.scale_noisy) * progress

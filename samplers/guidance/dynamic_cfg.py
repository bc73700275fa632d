"""Classifier-free guidance whose scale changes along the path, or over the frames of a video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings
from .shapes import SHAPES

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine

GROWTH = tuple(SHAPES)


@settings
class DynamicCFG:
    """uncond + w (cond - uncond), w = scale_noisy + (scale - scale_noisy) * g(p), p = 2/pi atan(alpha/sigma).

    p is 0 at pure noise and 1 at clean; g(p) is p ("linear"), (1 - cos(pi p)) / 2 ("cosine"), 1 - cos(pi p / 2)
    ("quarter_cosine"), 1 - cos(p) ("half_cosine"), 1 - abs(2 p - 1) ("triangle") or, rising and falling over a tenth
    each, 1 ("trapezoid"); before that p is raised to a power and repeated. Guidance that grows along the path keeps
    diversity. Where w is 1 only cond is evaluated. Wang et al. 2024, arXiv:2404.13040.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="where g is 1: at clean, or in the middle")
    scale_noisy: float = setting(1.0, low=0.0, high=1000.0, help="at pure noise")
    shape: str = setting("linear", choices=GROWTH, help="the way between both")
    power: float = setting(1.0, low=0.01, high=100.0, help="of p: above 1 it grows late")
    repeats: float = setting(1.0, low=0.01, high=100.0, help="of the curve along the path; of linear ones a sawtooth")
    aliases: ClassVar[tuple[str, ...]] = ("scheduled_cfg",)

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self._scale(level) == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        scale = self._scale(level)
        return predictions["cond"] if scale == 1 else predictions["uncond"].lerp(predictions["cond"], scale)

    def _scale(self, level: Level) -> float:
        progress = (math.atan2(level.alpha, level.sigma) / (math.pi / 2)) ** self.power
        if self.repeats != 1:
            progress = progress * self.repeats % (2.0 if self.shape == "cosine" else 1.0)
        return self.scale_noisy + (self.scale - self.scale_noisy) * SHAPES[self.shape](progress)


@settings
class FrameCFG:
    """uncond + w (cond - uncond), w = scale_first + (scale - scale_first) * g(i / (n - 1)) for frame i of n.

    For videos (B, C, F, H, W); an image is one frame, the first. g as in ``dynamic_cfg``: "linear" grows away from the
    image that a video begins with, "triangle" and "trapezoid" fall again towards an end that is given too.
    https://github.com/Stability-AI/generative-models.
    """

    scale: float = setting(2.5, low=0.0, high=1000.0, help="of the last frame, or of those in the middle")
    scale_first: float = setting(1.0, low=0.0, high=1000.0, help="of the first frame")
    shape: str = setting("linear", choices=GROWTH, help="the way between both")
    variants: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "VideoLinearCFGGuidance": {"shape": "linear"},
        "VideoTriangleCFGGuidance": {"shape": "triangle"},
    }

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == self.scale_first == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        cond = predictions["cond"]
        if self.scale == self.scale_first == 1:
            return cond
        from ..moved import tensor_like

        frames = cond.shape[2] if cond.ndim == 5 else 1
        curve = [SHAPES[self.shape](i / max(frames - 1, 1)) for i in range(frames)]
        weights = [self.scale_first + (self.scale - self.scale_first) * g for g in curve]
        weight = tensor_like(weights, cond).view((-1, 1, 1) if cond.ndim == 5 else ())
        return predictions["uncond"] + weight * (cond - predictions["uncond"])

"""Characteristic guidance: classifier-free guidance that is right at high scales where the data are near Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings
from .space import dot, share

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine, Further, Predictions


@settings
class Characteristic:
    """uncond(x2) + scale (cond(x1) - uncond(x2)), x1 = x + (scale - 1) d, x2 = x + scale d, d + P(alpha g) = d.

    g = cond(x1) - uncond(x2): d is moved until both agree, in all of x or in the mean of each channel (P), in which
    case the score of the guided data obeys the Fokker-Planck equation up to the curvature of log p that is not
    quadratic. In eps, d = P sigma (uncond(x2) - cond(x1)). Each iteration, by Anderson's mixing with one difference of
    each image or channel, costs two evaluations. At alpha = 0 nothing moves and it is plain CFG.
    Zheng, Lan 2023, arXiv:2312.07586.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    iterations: int = setting(3, low=0, high=100, help="two evaluations each; 0 is plain CFG")
    over: str = setting("channels", choices=("channels", "image"), help="what moves: means of channels, or all of x")
    aliases: ClassVar[tuple[str, ...]] = ("CharacteristicGuidance",)

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        def combine(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
            if self.scale == 1:
                return predictions["cond"]
            if not level.alpha or not self.iterations:
                return predictions["uncond"].lerp(predictions["cond"], self.scale)
            return self._agree(x, level, predictions["cond"], predictions["uncond"])

        return combine

    def _agree(self, x: Tensor, level: Level, cond: Tensor, uncond: Tensor) -> Further:
        moved, step = x * 0.0, self._step(cond - uncond, level)
        target, last = moved + step, (moved, step)
        for _ in range(self.iterations):
            moved = target
            _, first = yield x + (self.scale - 1) * moved, level, ("cond",)
            _, second = yield x + self.scale * moved, level, ("uncond",)
            cond, uncond = first["cond"], second["uncond"]
            step = self._step(cond - uncond, level)
            change = step - last[1]
            mixed = share(self._dot(step, change), self._dot(change, change))
            target = moved + step - mixed * (moved - last[0] + change)
            last = moved, step
        return uncond.lerp(cond, self.scale)

    def _dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Of what moves together: a channel, which is the same everywhere, or an image."""
        return a * b if self.over == "channels" else dot(a, b)

    def _step(self, disagreement: Tensor, level: Level) -> Tensor:
        if self.over == "channels":
            means = disagreement.flatten(2).mean(2)
            disagreement = means.view(*means.shape, *[1] * (disagreement.ndim - 2)).expand_as(disagreement)
        return level.alpha * disagreement

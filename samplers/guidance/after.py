"""What is done to the result of another guidance: thresholding the image, scaling the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG
from .further import then
from .quantile import quantile

if TYPE_CHECKING:
    from torch import Tensor

    from ..perturbation import Branch
    from ..protocols import Combine, Further, Predictions


@settings
class DynamicThreshold:
    """x0 clipped to [-s, s] and divided by s, s = max(1, the quantile of |x0|) of each image.

    For images in pixel space with values from -1 to 1; latents have no such range.
    Saharia et al. 2022 (Imagen), arXiv:2205.11487, section 2.3.
    """

    guidance: Guidance = setting(CFG(), kind="guidance", help="what gives x0")
    quantile: float = setting(0.995, low=0.0, high=1.0, help="share of the values that is not clipped")
    highest: float | None = setting(None, low=1.0, help="largest s; 1 clips to [-1, 1]; default: none")
    aliases: ClassVar[tuple[str, ...]] = ("dynamic_thresholding",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return self.guidance.branches(level)

    def start(self) -> Combine:
        combine = self.guidance.start()

        def clipped(x0: Tensor) -> Tensor:
            rows = x0.flatten(1)
            limits = quantile(rows.abs(), self.quantile).clamp(1.0, self.highest)
            return (rows.clamp(-limits, limits) / limits).view_as(x0)

        def thresholded(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
            return then(combine(x, level, predictions), clipped)

        return thresholded


@settings
class EpsScaling:
    """eps / factor, x0 accordingly: a network sees noisier images in sampling than it did in training.

    At alpha = 0, where eps says nothing of the image, x0 is left as it is. Ning et al. 2023, arXiv:2308.15321.
    """

    guidance: Guidance = setting(CFG(), kind="guidance", help="what gives eps")
    factor: float = setting(1.005, low=0.5, high=2.0, help="1 is none")
    aliases: ClassVar[tuple[str, ...]] = ("EpsilonScaling", "epsilon_scaling")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return self.guidance.branches(level)

    def start(self) -> Combine:
        combine = self.guidance.start()

        def scaled(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
            combined = combine(x, level, predictions)
            if not level.alpha or self.factor == 1:
                return combined
            return then(combined, lambda x0: x0 / self.factor + x * ((1 - 1 / self.factor) / level.alpha))

        return scaled

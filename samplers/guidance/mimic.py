"""Guidance at a high scale with the contrast of a lower one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG
from .further import both
from .quantile import quantile
from .space import share

if TYPE_CHECKING:
    from torch import Tensor

    from ..perturbation import Branch
    from ..protocols import Combine, Further, Predictions


@settings
class Mimic:
    """m + (g - m) r(h) / r(g), g and h the x0 of two guidances, m the mean of g, r how far values are from their mean.

    r is the largest distance ("max"), where that of g is a quantile of all and what is beyond it is clipped, or the
    standard deviation ("std"), in each channel or over the image; around="zero" scales g itself. Where g is no wider
    than h, "max" leaves it alone. The schedules of both scales are those of ``dynamic_cfg``.
    Dynamic thresholding of https://github.com/mcmonkeyprojects/sd-dynamic-thresholding.
    """

    guidance: Guidance = setting(CFG(), kind="guidance", help="g")
    like: Guidance = setting(CFG(7.0), kind="guidance", help="h, whose range g is given: the mimic scale")
    quantile: float = setting(1.0, low=0.0, high=1.0, help="share of the values of g that is not clipped")
    measure: str = setting("max", choices=("max", "std"), help="what r is")
    over: str = setting("channels", choices=("channels", "image"), help="what has one r")
    around: str = setting("mean", choices=("mean", "zero"), help="what stays in its place")
    phi: float = setting(1.0, low=0.0, high=1.0, help="share of the result; the rest is g")
    aliases: ClassVar[tuple[str, ...]] = ("DynamicThresholdingFull", "DynamicThresholdingSimple")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return tuple(dict.fromkeys((*self.guidance.branches(level), *self.like.branches(level))))

    def start(self) -> Combine:
        high, low = self.guidance.start(), self.like.start()

        def mimicked(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
            return both(high(x, level, predictions), low(x, level, predictions), self._rescaled)

        return mimicked

    def _rescaled(self, guided: Tensor, like: Tensor) -> Tensor:
        first = 2 if self.over == "channels" else 1
        g, h = guided.flatten(first), like.flatten(first)
        mean = g.mean(-1, keepdim=True)
        off, other = g - mean, h - h.mean(-1, keepdim=True)
        if self.measure == "std":
            own, wanted = (part.std(-1, keepdim=True, correction=0) for part in (off, other))
        else:
            own, wanted = quantile(off.abs(), self.quantile), other.abs().amax(-1, keepdim=True)
        if self.around == "zero":
            result = g * share(wanted, own, 1.0)
        else:
            if self.measure == "max":
                own = own.maximum(wanted)
                off = off.clamp(-own, own)
            result = mean + off * share(wanted, own, 1.0)
        return g.lerp(result, self.phi).view_as(guided)

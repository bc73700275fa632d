"""Guidance in a limited interval of noise levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG

if TYPE_CHECKING:
    from torch import Tensor

    from ..perturbation import Branch
    from ..protocols import Combine, Further, Predictions


@settings
class Interval:
    """Another guidance where sigma_lo < sigma/alpha <= sigma_hi, none elsewhere: there only cond is evaluated.

    A second one outside makes two halves of a run: ``interval(slg(guidance=cfg(5)), outside=cfg(5))``.
    ``ngms(sigma_lo=3)`` leaves out uncond at the end alone, as AUTOMATIC1111's negative guidance minimum sigma does on
    every step. Kynkäänniemi et al. 2024, arXiv:2404.07724.
    """

    guidance: Guidance = setting(CFG(), kind="guidance", help="what to apply inside")
    sigma_lo: float = setting(0.28, low=0.0, help="none at and below this sigma/alpha")
    sigma_hi: float = setting(5.42, low=0.0, help="none above this sigma/alpha")
    outside: Guidance | None = setting(None, kind="guidance", help="what to apply outside; default: none")
    aliases: ClassVar[tuple[str, ...]] = ("limited_interval",)
    variants: ClassVar[Mapping[str, Mapping[str, float]]] = {
        name: {"sigma_lo": 0.0, "sigma_hi": math.inf} for name in ("ngms", "s_min_uncond")
    }

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return (self.guidance if self._inside(level) else self._other).branches(level)

    def start(self) -> Combine:
        inside, outside = self.guidance.start(), self._other.start()

        def limited(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
            return (inside if self._inside(level) else outside)(x, level, predictions)

        return limited

    @property
    def _other(self) -> Guidance:
        return self.outside or CFG(1.0)

    def _inside(self, level: Level) -> bool:
        return self.sigma_lo < level.ve_sigma <= self.sigma_hi

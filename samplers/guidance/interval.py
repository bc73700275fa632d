"""Guidance in a limited interval of noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


@settings
class Interval:
    """Another guidance where sigma_lo < sigma/alpha <= sigma_hi, none elsewhere: there only cond is evaluated.

    Kynkäänniemi et al. 2024, arXiv:2404.07724.
    """

    guidance: Guidance = setting(CFG(), kind="guidance", help="what to apply inside")
    sigma_lo: float = setting(0.28, low=0.0, help="none at and below this sigma/alpha")
    sigma_hi: float = setting(5.42, low=0.0, help="none above this sigma/alpha")
    aliases: ClassVar[tuple[str, ...]] = ("limited_interval",)

    def branches(self, level: Level) -> tuple[str, ...]:
        return self.guidance.branches(level) if self._inside(level) else ("cond",)

    def start(self) -> Combine:
        combine = self.guidance.start()

        def limited(x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
            return combine(x, level, predictions) if self._inside(level) else predictions["cond"]

        return limited

    def _inside(self, level: Level) -> bool:
        return self.sigma_lo < level.ve_sigma <= self.sigma_hi

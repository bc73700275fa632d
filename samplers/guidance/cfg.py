"""Classifier-free guidance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


@settings
class CFG:
    """x0 = uncond + scale * (cond - uncond).

    The convention of ComfyUI and diffusers: scale 1 is no guidance and costs no second evaluation. Linear, so it is the
    same in x0, eps and v. Ho, Salimans 2022, arXiv:2207.12598, eq. 6 with w = scale - 1.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    aliases: ClassVar[tuple[str, ...]] = ("CFGGuider", "ClassifierFreeGuidance")

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        if self.scale == 1:
            return predictions["cond"]
        return predictions["uncond"].lerp(predictions["cond"], self.scale)

"""Classifier-free guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..settings import setting, settings
from . import of_two

if TYPE_CHECKING:
    from torch import Tensor


@settings
class CFG:
    """x0 = uncond + scale * (cond - uncond).

    The convention of ComfyUI and diffusers: scale 1 is no guidance and costs no second evaluation. Linear, so it is the
    same in x0, eps and v. Ho, Salimans 2022, arXiv:2207.12598, eq. 6 with w = scale - 1.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    aliases: ClassVar[tuple[str, ...]] = ("CFGGuider", "ClassifierFreeGuidance")

    branches, start = of_two.branches, of_two.start

    def guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        return uncond.lerp(cond, self.scale)

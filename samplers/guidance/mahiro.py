"""Guidance that leans on the prompt alone where both predictions disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..settings import setting, settings
from . import of_two
from .space import share

if TYPE_CHECKING:
    from torch import Tensor


@settings
class Mahiro:
    """((s + 1) G + (1 - s) L) / 2, G = uncond + scale (cond - uncond), L = scale cond; of x0.

    s is the mean over an image of the cosine, over the channels of a pixel, between the signed roots of scale uncond
    and of (G + L) / 2. A community method without a paper: ``MahiroCFG``, https://github.com/comfyanonymous/ComfyUI.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    aliases: ClassVar[tuple[str, ...]] = ("Mahiro", "MahiroCFG")

    branches, start = of_two.branches, of_two.start

    def guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        guided, leaned = uncond.lerp(cond, self.scale), self.scale * cond
        a, b = _root(self.scale * uncond), _root((guided + leaned) / 2)
        cosine = share((a * b).sum(1), a.norm(dim=1) * b.norm(dim=1))
        s = cosine.reshape(len(cond), -1).mean(1).view(-1, *[1] * (cond.ndim - 1))
        return ((s + 1) * guided + (1 - s) * leaned) / 2


def _root(x: Tensor) -> Tensor:
    return x.sign() * x.abs().sqrt()

"""Guidance by three predictions. Linear in their differences, so the same in x0, eps and v."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings
from .space import dot, share

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


@settings
class PerpNeg:
    """uncond + scale (p - negative_scale n_perp), p = cond - uncond, n = negative - uncond, n_perp its part across p.

    A negative prompt that cannot take away what the prompt asks for; uncond is the empty prompt.
    Armandpour et al. 2023, arXiv:2304.04968.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="of the prompt and of what is taken away")
    negative_scale: float = setting(1.0, low=0.0, high=1000.0, help="how much is taken away; 0 is plain CFG")
    aliases: ClassVar[tuple[str, ...]] = ("PerpNegGuider",)

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond", "uncond", "negative") if self.negative_scale else ("cond", "uncond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        cond, uncond = predictions["cond"], predictions["uncond"]
        if not self.negative_scale:
            return uncond.lerp(cond, self.scale)
        positive, negative = cond - uncond, predictions["negative"] - uncond
        across = negative - share(dot(negative, positive), dot(positive, positive)) * positive
        return uncond + self.scale * (positive - self.negative_scale * across)


@settings
class DualCFG:
    """uncond + scale_middle (middle - uncond) + scale (cond - middle): text above an image above neither.

    InstructPix2Pix: middle knows the image to edit, cond the image and the text. Branches that cancel are not
    evaluated. Brooks, Holynski, Efros 2022, arXiv:2211.09800, eq. 3.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="of cond above middle, the text")
    scale_middle: float = setting(1.5, low=0.0, high=1000.0, help="of middle above uncond, the image")
    aliases: ClassVar[tuple[str, ...]] = ("DualCFGGuider", "ip2p")

    def branches(self, level: Level) -> tuple[str, ...]:
        weights = {"cond": self.scale, "middle": self.scale_middle - self.scale, "uncond": 1 - self.scale_middle}
        return tuple(name for name, weight in weights.items() if weight or name == "cond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        cond = predictions["cond"]
        middle = predictions["middle"] if self.scale_middle != self.scale else cond
        uncond = predictions["uncond"] if self.scale_middle != 1 else middle
        return uncond + self.scale_middle * (middle - uncond) + self.scale * (cond - middle)

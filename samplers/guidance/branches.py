"""Guidance by three predictions or more. Linear in their differences, so the same in x0, eps and v."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings
from .space import dot, share

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine

NAME = re.compile(r"[a-z][a-z0-9_]*")


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

    InstructPix2Pix: middle knows the image to edit, cond the image and the text. Nested, scale_middle weighs both
    steps: uncond + scale_middle (middle + scale (cond - middle) - uncond). Branches that cancel are not evaluated.
    Brooks, Holynski, Efros 2022, arXiv:2211.09800, eq. 3.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="of cond above middle, the text")
    scale_middle: float = setting(1.5, low=0.0, high=1000.0, help="of middle above uncond, the image")
    nested: bool = setting(False, help="of middle + scale (cond - middle) above uncond instead")
    aliases: ClassVar[tuple[str, ...]] = ("DualCFGGuider", "ip2p")

    def branches(self, level: Level) -> tuple[str, ...]:
        return tuple(self._weights)

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        return weighted(predictions, self._weights)

    @property
    def _weights(self) -> dict[str, float]:
        scale = self.scale * (self.scale_middle if self.nested else 1)
        return needed({"cond": scale, "middle": self.scale_middle - scale, "uncond": 1 - self.scale_middle})


@settings
class Composable:
    """uncond + scale ((cond - uncond) + sum_i weight_i (cond_i - uncond)): one image of several conditions.

    A weight below 0 is a condition that must not hold. ``others`` names the conditions, whose texts a sweep gives as
    ``texts``; AND in other programs' prompts. Branches that cancel are not evaluated.
    Liu et al. 2022, arXiv:2206.01714, eq. 11 and 13.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="of all conditions")
    others: str = setting("other", help="names of further conditions, with their weights: 'style:0.5, rain:-1'")
    aliases: ClassVar[tuple[str, ...]] = ("composable_diffusion", "conjunction")

    def branches(self, level: Level) -> tuple[str, ...]:
        return tuple(self._weights)

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        return weighted(predictions, self._weights)

    @property
    def _weights(self) -> dict[str, float]:
        others = {name: self.scale * weight for name, weight in named_weights(self.others).items()}
        return needed({"cond": self.scale, **others, "uncond": 1 - self.scale - sum(others.values())})


def needed(weights: Mapping[str, float]) -> dict[str, float]:
    """Without what has no weight; cond is always there."""
    return {name: weight for name, weight in weights.items() if weight or name == "cond"}


def weighted(predictions: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """cond + sum of weight (prediction - cond), for weights that add up to 1."""
    cond = predictions["cond"]
    return cond + sum((w * (predictions[name] - cond) for name, w in weights.items() if name != "cond"), cond * 0.0)


def named_weights(text: str) -> dict[str, float]:
    """'style:0.5, rain' as {"style": 0.5, "rain": 1.0}.

    Raises:
        ValueError: for text that is no such list, and for a name that is used already.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = (piece.strip() for piece in part.partition(":"))
        if not NAME.fullmatch(name) or name in ("cond", "uncond", *found):
            raise ValueError(f"others = {text!r}: {name!r} is no new name; write names, as in 'style:0.5, rain:-1'")
        try:
            found[name] = float(weight) if weight else 1.0
        except ValueError:
            raise ValueError(f"others = {text!r}: the weight {weight!r} of {name} is no number") from None
    return found

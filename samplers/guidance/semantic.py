"""Classifier-free guidance that is as strong in every part of the image as in what the prompt is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..level import Level
from ..perturbation import AttendedRegions, Branch, Perturbed
from ..settings import setting, settings
from .blur import blurred
from .space import share

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


WORDS = 4096
"""More places of words than a text encoder has; a number from the regions themselves would wait for the device."""


@settings
class SemanticCFG:
    """uncond + scale r (cond - uncond), r = f / m: cond - uncond is as long in every region as in what is seen.

    m is the mean length, over channels, in a place's region: where the network attends most to one word of the prompt,
    by softmax(q k) of the chosen layers, spread by the mean of the first four powers of their self-attention, blurred,
    and each word over its own mean. f is that of all places that attend more to words than to the start of the text. r
    is cut to lowest ... highest, and to 15 / scale, and blurred. The authors' code takes f's places from uncond's
    attention, here they are cond's. Shen et al. 2024, arXiv:2404.05384, section 4.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    lowest: float = setting(0.8, low=0.0, high=1.0, help="least r")
    highest: float = setting(3.0, low=1.0, high=100.0, help="largest r; with lowest=1, 1 is plain CFG")
    layers: str = setting("", help="those that are watched, such as 'down.2, mid, up.1' (default mid)")
    aliases: ClassVar[tuple[str, ...]] = ("semantic_aware_cfg",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return ("cond",) if self.scale == 1 else (self._seen, "uncond")

    def start(self) -> Combine:
        return self._combine

    @property
    def _seen(self) -> Perturbed:
        return Perturbed("cond", AttendedRegions(self.layers))

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[Any, Tensor]) -> Tensor:
        if self.scale == 1:
            return predictions["cond"]
        answer = predictions[self._seen]
        cond, regions, seen = answer[:, :-2], answer[:, -2:-1], answer[:, -1:]
        difference = cond - predictions["uncond"]
        sizes = difference.norm(dim=1, keepdim=True)
        rate = share(_mean_where(seen, sizes), _means(regions, sizes), 1.0).clamp(self.lowest, self.highest)
        if self.scale:
            rate = rate.clamp(max=15 / self.scale)
        return predictions["uncond"] + self.scale * blurred(rate, 0.5, 1) * difference


def _means(regions: Tensor, sizes: Tensor) -> Tensor:
    """At each place the mean over its region."""
    labels, values = regions.flatten(1).round().long(), sizes.flatten(1)
    sums, counts = values.new_zeros(2, len(values), WORDS)
    sums.scatter_add_(1, labels, values)
    counts.scatter_add_(1, labels, values * 0.0 + 1.0)
    return (sums / counts.clamp(min=1.0)).gather(1, labels).view_as(sizes)


def _mean_where(seen: Tensor, sizes: Tensor) -> Tensor:
    """The mean of each image over what is seen, (B, 1, ...); 0 where nothing is."""
    seen, values = (seen > 0.5).flatten(1).to(sizes), sizes.flatten(1)
    mean = (seen * values).sum(1) / seen.sum(1).clamp(min=1.0)
    return mean.view(-1, *[1] * (sizes.ndim - 1))

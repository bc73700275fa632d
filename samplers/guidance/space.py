"""The spaces in which predictions can be combined, where the combination is not linear and the space matters.

    x0      the image
    eps     the noise, (x - alpha x0) / sigma; at alpha = 0, where it says nothing of the image, v instead
    v       the velocity of the variance preserving process, (a x / norm - x0) / s with a, s = level / norm
    flow    the velocity of rectified flow, x / (alpha + sigma) = (1 - t) x0 + t eps: eps - x0

Linear combinations with weights that add up to 1 are the same in all of them. A prediction in one space is the
prediction of another network: what a paper combined is what its network predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..level import Level

if TYPE_CHECKING:
    from torch import Tensor

SPACES = ("x0", "eps", "v", "flow")


def to_space(space: str, x0: Tensor, x: Tensor, level: Level) -> Tensor:
    """The prediction x0 of the image, in that space; sigma > 0."""
    if space == "x0":
        return x0
    scale, center = _line(space, level)
    return (center * x - x0) / scale


def pair(space: str, predictions: Mapping[str, Tensor], x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
    """The predictions cond and uncond of the image, in that space."""
    return to_space(space, predictions["cond"], x, level), to_space(space, predictions["uncond"], x, level)


def from_space(space: str, prediction: Tensor, x: Tensor, level: Level) -> Tensor:
    """The image of a prediction in that space; the inverse of ``to_space``."""
    if space == "x0":
        return prediction
    scale, center = _line(space, level)
    return center * x - scale * prediction


def _line(space: str, level: Level) -> tuple[float, float]:
    """(scale, center) with x0 = center * x - scale * prediction."""
    alpha, sigma = level
    if space == "eps" and alpha:
        return sigma / alpha, 1 / alpha
    if space == "flow":
        return sigma / (alpha + sigma), 1 / (alpha + sigma)
    return sigma / level.norm, alpha / level.norm**2


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each image (B, *) with its partner, as (B, 1, ...)."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))


def length(a: Tensor) -> Tensor:
    """The Euclidean norm of each image (B, *), as (B, 1, ...)."""
    return dot(a, a).sqrt()


def share(a: Tensor | float, b: Tensor, otherwise: float = 0.0) -> Tensor:
    """a / b, and ``otherwise`` where b is 0."""
    return (a / b).where(b != 0, otherwise)

"""The noise other programs take from a Brownian motion over sigma, made of our independent draws."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...samplers.level import Level
from ...samplers.protocols import Noise


class Brownian:
    """(W(sigma_next) - W(sigma)) / sqrt(|sigma_next - sigma|), for intervals that only grow from one start, or follow.

    A two-stage method asks for the noise of its first part, then for that of the whole step, which contains it.
    """

    def __init__(self, noise: Noise) -> None:
        self.noise, self.start, self.end = noise, 0.0, 0.0
        self.increment: Tensor | None = None

    def __call__(self, sigma: Any, sigma_next: Any) -> Tensor:
        start, end = float(sigma), float(sigma_next)
        known = self.increment if start == self.start and end < self.end else None
        since = start if known is None else self.end
        fresh = self.noise(Level(1.0, since), Level(1.0, end)) * (since - end) ** 0.5
        self.start, self.end, self.increment = start, end, fresh if known is None else known + fresh
        return self.increment / (start - end) ** 0.5

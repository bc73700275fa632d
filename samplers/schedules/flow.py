"""Rectified flow: the straight line from data to noise."""

from __future__ import annotations

import math
from typing import ClassVar

from ..level import Level
from ..settings import setting, settings


@settings
class Flow:
    """alpha = 1 - u, sigma = u, with u = shift * t / (shift * t + 1 - t).

    It always starts at alpha = 0. A shift multiplies sigma/alpha, as larger images need more noise.
    Liu, Gong, Liu 2022, arXiv:2209.03003; shift: Esser et al. 2024 (SD3), arXiv:2403.03206, eq. 23.
    """

    shift: float = setting(1.0, low=0.01, high=100.0, help="SD3 3.0, AuraFlow 1.73; 1 is the plain line")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("rectified_flow",)

    def level(self, t: float) -> Level:
        noise, data = self.shift * t, 1 - t
        return Level(data / (noise + data), noise / (noise + data))

    def time(self, level: Level) -> float:
        return level.sigma / (level.sigma + self.shift * level.alpha)

    def project(self, level: Level) -> Level:
        total = level.alpha + level.sigma
        return Level(level.alpha / total, level.sigma / total)


@settings
class FluxFlow:
    """``flow`` with shift = exp(mu), mu linear in the number of image tokens through two points.

    Flux: 0.5 at 256 tokens, 1.15 at 4096; LTX-Video: 0.95 at 1024, 2.05 at 4096. An image of Flux has
    width / 16 * height / 16 tokens. https://github.com/black-forest-labs/flux; the shift: arXiv:2403.03206, eq. 23.
    """

    tokens: int = setting(4096, low=1, high=10_000_000, help="of the image")
    base_shift: float = setting(0.5, low=-5.0, high=10.0, help="mu at base_tokens")
    max_shift: float = setting(1.15, low=-5.0, high=10.0, help="mu at max_tokens")
    base_tokens: int = setting(256, low=1, high=10_000_000, help="tokens of the first point")
    max_tokens: int = setting(4096, low=1, high=10_000_000, help="tokens of the second point")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("exp_shift", "calculate_shift")

    @property
    def shift(self) -> float:
        if self.base_tokens == self.max_tokens:
            raise ValueError(f"base_tokens and max_tokens are both {self.max_tokens}: two different points are needed")
        slope = (self.max_shift - self.base_shift) / (self.max_tokens - self.base_tokens)
        return math.exp(self.base_shift + slope * (self.tokens - self.base_tokens))

    def level(self, t: float) -> Level:
        noise, data = self.shift * t, 1 - t
        return Level(data / (noise + data), noise / (noise + data))

    def time(self, level: Level) -> float:
        return level.sigma / (level.sigma + self.shift * level.alpha)

    def project(self, level: Level) -> Level:
        total = level.alpha + level.sigma
        return Level(level.alpha / total, level.sigma / total)


@settings
class Decay:
    """alpha = 1 - u, sigma = u, with u = (1 - gamma^t) / (1 - gamma): ``flow`` with most of its times near pure noise.

    Equal steps of time shrink in u by the same factor, towards alpha = 0. The schedule of
    https://github.com/probabilists/azula, ``DecaySchedule``, whose ends are 0.001 inside.
    Liu, Gong, Liu 2022, arXiv:2209.03003, for the line.
    """

    gamma: float = setting(0.1, low=1e-6, high=0.999, help="du/dt at t = 1 as a share of that at 0")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")

    def level(self, t: float) -> Level:
        rate = math.log(self.gamma)
        span = math.expm1(rate)
        return Level(math.exp(rate * t) * math.expm1(rate * (1 - t)) / span, math.expm1(rate * t) / span)

    def time(self, level: Level) -> float:
        noise = level.sigma / (level.alpha + level.sigma)
        return min(1.0, math.log1p(-(1 - self.gamma) * noise) / math.log(self.gamma))

    def project(self, level: Level) -> Level:
        total = level.alpha + level.sigma
        return Level(level.alpha / total, level.sigma / total)

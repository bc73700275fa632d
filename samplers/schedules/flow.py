"""Rectified flow: the straight line from data to noise."""

from __future__ import annotations

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

    def level(self, t: float) -> Level:
        noise, data = self.shift * t, 1 - t
        return Level(data / (noise + data), noise / (noise + data))

    def time(self, level: Level) -> float:
        return level.sigma / (level.sigma + self.shift * level.alpha)

    def project(self, level: Level) -> Level:
        total = level.alpha + level.sigma
        return Level(level.alpha / total, level.sigma / total)

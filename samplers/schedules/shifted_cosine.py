"""The cosine schedule of large images: detail at the shift of a small image, composition at that of a large one."""

from __future__ import annotations

import math
from typing import ClassVar

from ..level import PURE_NOISE, Level, variance_preserving
from ..settings import setting, settings


@settings
class InterpolatedShiftedCosine:
    """log(alpha^2 / sigma^2) = -2 log tan(pi t / 2) + 2 (1 - t) log(low / size) + 2 t log(high / size).

    From clean to pure noise, without the paper's clipping. With low = high the shifted cosine, which is ``snr_shift``
    of ``trigflow`` by size / low. Hoogeboom, Heek, Salimans 2023, arXiv:2301.11093, section 3.
    """

    size: int = setting(256, low=1, high=1_000_000, help="width of the images")
    low: int = setting(32, low=1, high=1_000_000, help="width whose noise is taken near t = 0")
    high: int = setting(256, low=1, high=1_000_000, help="width whose noise is taken near t = 1; below 23 times low")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("cosine_interpolated", "shifted_cosine")

    def level(self, t: float) -> Level:
        if t == 1:
            return PURE_NOISE
        alpha, sigma = math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t) / self._gain(t)
        norm = math.hypot(alpha, sigma)
        return Level(alpha / norm, sigma / norm)

    def time(self, level: Level) -> float:
        """By bisection, to the last bit."""
        if not level.sigma or not level.alpha:
            return 1.0 if level.sigma else 0.0
        early, late = 0.0, 1.0
        for _ in range(60):
            t = (early + late) / 2
            angle = math.atan2(level.sigma * self._gain(t), level.alpha)
            early, late = (t, late) if angle > math.pi / 2 * t else (early, t)
        return (early + late) / 2

    def project(self, level: Level) -> Level:
        return variance_preserving(level.ve_sigma)

    def _gain(self, t: float) -> float:
        """alpha/sigma over that of the plain cosine."""
        if abs(math.log(self.high / self.low)) >= math.pi:
            raise ValueError(f"low = {self.low}, high = {self.high}: must be less than 23.1 times apart")
        return (self.low / self.size) ** (1 - t) * (self.high / self.size) ** t

"""Zero terminal SNR: a schedule rescaled so that its last level is pure noise, exactly."""

from __future__ import annotations

import math
from typing import ClassVar

from ..level import PURE_NOISE, Level, variance_preserving
from ..protocols import NoiseSchedule
from ..settings import setting, settings
from .beta import ScaledLinear


@settings
class ZeroTerminalSNR:
    """alpha'(t) = (alpha(t) - alpha(1)) * alpha_1 / (alpha_1 - alpha(1)), variance preserving; alpha'(1) is exactly 0.

    alpha_1 is the cleanest trained level, t = 1 / timesteps, which stays as it was, and so does all below it. A
    schedule that ends at alpha = 0 already (flow) is left alone. The network must predict v, x0 or flow: an
    eps prediction says nothing about the image at alpha = 0. Lin, Liu, Li, Yang 2023, arXiv:2305.08891, Algorithm 1.
    """

    schedule: NoiseSchedule = setting(ScaledLinear(), kind="schedule", help="the schedule to rescale")
    aliases: ClassVar[tuple[str, ...]] = ("zsnr", "rescale_betas_zero_snr")

    @property
    def timesteps(self) -> int:
        return self.schedule.timesteps

    def level(self, t: float) -> Level:
        level = self.schedule.level(t)
        if t <= 1 / self.timesteps or not self._last:
            return level
        if t == 1:
            return PURE_NOISE
        alpha = (_alpha(level) - self._last) * self._gain
        return Level(alpha, math.sqrt(1 - alpha * alpha))

    def time(self, level: Level) -> float:
        first = self.schedule.level(1 / self.timesteps)
        if not level.noisier_than(first) or not self._last:
            return self.schedule.time(level)
        if not level.alpha:
            return 1.0
        alpha = _alpha(level) / self._gain + self._last
        return self.schedule.time(Level(alpha, math.sqrt(1 - alpha * alpha)))

    def project(self, level: Level) -> Level:
        return variance_preserving(level.ve_sigma) if self._last else self.schedule.project(level)

    @property
    def _last(self) -> float:
        return _alpha(self.schedule.level(1.0))

    @property
    def _gain(self) -> float:
        first = _alpha(self.schedule.level(1 / self.timesteps))
        return first / (first - self._last)


def _alpha(level: Level) -> float:
    """alpha in variance preserving scale."""
    return level.alpha / level.norm

"""Schedules that were learned or tabulated: any betas, any sigmas."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from ..level import PURE_NOISE, Level, variance_preserving
from ..settings import setting, settings
from .table import BetaSchedule, Table


@settings
class TrainedBetas(BetaSchedule):
    """Betas listed one by one, cleanest first, as in a diffusers config's ``trained_betas``.

    Also what a learned schedule is once it is trained: Kingma et al. 2021, arXiv:2107.00630.
    """

    values: tuple = setting((1e-4, 0.02), help="the variances of the forward steps")
    aliases: ClassVar[tuple[str, ...]] = ("table", "learned", "learned_betas")

    @property
    def timesteps(self) -> int:
        return len(self.values)

    def betas(self) -> list[float]:
        return list(self.values)


@settings
class TrainedSigmas:
    """sigma/alpha listed one by one, cleanest first, at t = i / T; log-linear in between, linear down to clean.

    ComfyUI's ``set_sigmas``. Kingma et al. 2021, arXiv:2107.00630, section 4, learn such a curve.
    """

    values: tuple = setting((0.03, 1.0, 14.6), help="sigma/alpha, growing")
    process: str = setting("vp", choices=("vp", "ve", "flow"), help="scale: alpha^2+sigma^2, alpha, alpha+sigma is 1")
    aliases: ClassVar[tuple[str, ...]] = ("learned_sigmas", "set_sigmas")

    @property
    def timesteps(self) -> int:
        return len(self.values)

    def level(self, t: float) -> Level:
        return self.project(_table(self.values).level(t))

    def time(self, level: Level) -> float:
        return _table(self.values).time(level)

    def project(self, level: Level) -> Level:
        if not level.alpha:
            return PURE_NOISE
        scale = {"vp": level.norm, "ve": level.alpha, "flow": level.alpha + level.sigma}[self.process]
        return Level(level.alpha / scale, level.sigma / scale)


@lru_cache(maxsize=64)
def _table(values: tuple[float, ...]) -> Table:
    return Table(variance_preserving(sigma) for sigma in values)

"""Variance exploding schedules: alpha is 1 everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from ..level import PURE_NOISE, Level
from ..settings import setting, settings


@settings
class VE:
    """log sigma linear in time from sigma_min at t = 1 / T to sigma_max at t = 1; below, sigma is linear to clean.

    ``linspace`` spacing is ``exponential``. Song et al. 2020, arXiv:2011.13456, appendix C.
    """

    sigma_min: float = setting(0.01, low=1e-6, high=1e6, help="the cleanest trained level")
    sigma_max: float = setting(50.0, low=1e-6, high=1e6, help="the noisiest level; above sigma_min")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("ve_sde", "ScoreSdeVeScheduler")

    def level(self, t: float) -> Level:
        return Level(1.0, _sigma(self, t, math.log, math.exp))

    def time(self, level: Level) -> float:
        return _time(self, level, math.log)

    def project(self, level: Level) -> Level:
        return _project(level)


@settings
class EDM:
    """sigma^(1/rho) linear in time from sigma_min at t = 1 / T to sigma_max at t = 1; below, sigma is linear to clean.

    ``linspace`` spacing is ``karras``. Karras et al. 2022, arXiv:2206.00364, eq. 5.
    """

    sigma_min: float = setting(0.002, low=1e-6, high=1e6, help="the cleanest trained level")
    sigma_max: float = setting(80.0, low=1e-6, high=1e6, help="the noisiest level; above sigma_min")
    rho: float = setting(7.0, low=0.1, high=100.0, help="larger spends more of time at low noise")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")

    def level(self, t: float) -> Level:
        return Level(1.0, _sigma(self, t, lambda sigma: sigma ** (1 / self.rho), lambda root: root**self.rho))

    def time(self, level: Level) -> float:
        return _time(self, level, lambda sigma: sigma ** (1 / self.rho))

    def project(self, level: Level) -> Level:
        return _project(level)


Warp = Callable[[float], float]


def _sigma(schedule: VE | EDM, t: float, warp: Warp, unwarp: Warp) -> float:
    position = t * schedule.timesteps - 1
    if position <= 0:
        return schedule.sigma_min * (position + 1)
    if t == 1:
        return schedule.sigma_max
    low, high = _ends(schedule, warp)
    return unwarp(low + position / (schedule.timesteps - 1) * (high - low))


def _time(schedule: VE | EDM, level: Level, warp: Warp) -> float:
    sigma, grid = level.ve_sigma, schedule.timesteps
    if sigma >= schedule.sigma_max:
        return 1.0
    if sigma <= schedule.sigma_min:
        return sigma / schedule.sigma_min / grid
    low, high = _ends(schedule, warp)
    return (1 + (warp(sigma) - low) / (high - low) * (grid - 1)) / grid


def _ends(schedule: VE | EDM, warp: Warp) -> tuple[float, float]:
    if schedule.sigma_min >= schedule.sigma_max:
        raise ValueError(f"sigma_min = {schedule.sigma_min:g} must be below sigma_max = {schedule.sigma_max:g}")
    return warp(schedule.sigma_min), warp(schedule.sigma_max)


def _project(level: Level) -> Level:
    return Level(1.0, level.ve_sigma) if level.alpha else PURE_NOISE

"""Schedules in the scale of another process: the same sigma/alpha at every time."""

from __future__ import annotations

from typing import ClassVar

from ..level import PURE_NOISE, Level
from ..protocols import NoiseSchedule
from ..settings import setting, settings
from .beta import ScaledLinear
from .ve import VE


@settings
class EDMDiscrete:
    """Another schedule with alpha = 1, as k-diffusion sees all of them and Playground v2.5 was trained.

    Pure noise, an infinite sigma, stays (0, 1). Li et al. 2024, arXiv:2402.17245; Karras et al. 2022, arXiv:2206.00364.
    """

    schedule: NoiseSchedule = setting(ScaledLinear(), kind="schedule", help="whose sigma/alpha are taken")
    aliases: ClassVar[tuple[str, ...]] = ("variance_exploding",)

    @property
    def timesteps(self) -> int:
        return self.schedule.timesteps

    def level(self, t: float) -> Level:
        return self.project(self.schedule.level(t))

    def time(self, level: Level) -> float:
        return self.schedule.time(level)

    def project(self, level: Level) -> Level:
        return Level(1.0, level.ve_sigma) if level.alpha else PURE_NOISE


@settings
class CosmosRFlow:
    """Another schedule with alpha + sigma = 1: rectified flow whose time is that of sigma/alpha, here log-uniform.

    NVIDIA 2025 (Cosmos), arXiv:2501.03575; its network is told u = sigma / (alpha + sigma).
    """

    schedule: NoiseSchedule = setting(VE(0.002, 80.0), kind="schedule", help="whose sigma/alpha are taken")

    @property
    def timesteps(self) -> int:
        return self.schedule.timesteps

    def level(self, t: float) -> Level:
        return self.project(self.schedule.level(t))

    def time(self, level: Level) -> float:
        return self.schedule.time(level)

    def project(self, level: Level) -> Level:
        total = level.alpha + level.sigma
        return Level(level.alpha / total, level.sigma / total)

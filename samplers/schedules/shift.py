"""A schedule with more noise everywhere, as larger images need."""

from __future__ import annotations

from typing import ClassVar

from ..level import Level
from ..protocols import NoiseSchedule
from ..settings import setting, settings
from .beta import ScaledLinear


@settings
class SNRShift:
    """sigma/alpha of another schedule times a factor, in that schedule's own scale; both ends stay.

    For images d times as wide the factor is d (log-SNR + 2 log(1/d)). The ``snr_shift_scale`` k of CogVideoX, abar' =
    abar / (k + (1 - k) abar), is the factor sqrt(k). On a flow it is the shift, and shifts multiply.
    Hoogeboom, Heek, Salimans 2023, arXiv:2301.11093, section 3; Esser et al. 2024, arXiv:2403.03206, eq. 23.
    """

    schedule: NoiseSchedule = setting(ScaledLinear(), kind="schedule", help="the schedule to shift")
    factor: float = setting(2.0, low=0.001, high=1000.0, help="of sigma/alpha; 1 is the schedule as it is")
    aliases: ClassVar[tuple[str, ...]] = ("resolution_shift", "time_snr_shift")

    @property
    def timesteps(self) -> int:
        return self.schedule.timesteps

    def level(self, t: float) -> Level:
        level = self.schedule.level(t)
        return self.project(Level(level.alpha, level.sigma * self.factor))

    def time(self, level: Level) -> float:
        return self.schedule.time(Level(level.alpha * self.factor, level.sigma))

    def project(self, level: Level) -> Level:
        return self.schedule.project(level)

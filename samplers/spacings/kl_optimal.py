"""The spacing that is optimal for Gaussian data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..level import CLEAN, Level
from ..settings import setting, settings
from .spread import at_least_one

if TYPE_CHECKING:
    from ..protocols import NoiseSchedule


@settings
class KLOptimal:
    """atan(sigma/alpha) linear from sigma_max to sigma_min, then clean; pure noise is the angle pi/2, exactly.

    It minimises the bound on the Kullback-Leibler divergence where the data are one unit Gaussian.
    Sabour, Fidler, Kreis 2024, arXiv:2404.14507.
    """

    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first sigma/alpha; default: the noisiest level")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        first = schedule.project(Level(1.0, self.sigma_max)) if self.sigma_max else schedule.level(1.0)
        last = Level(1.0, self.sigma_min) if self.sigma_min else schedule.level(1 / schedule.timesteps)
        if not first.noisier_than(last):
            raise ValueError(f"sigma_min = {last.ve_sigma:g} must be below sigma_max = {first.ve_sigma:g}")
        high, low = math.atan2(first.sigma, first.alpha), math.atan2(last.sigma, last.alpha)
        stride = (low - high) / max(steps - 1, 1)
        angles = [high + i * stride for i in range(1, steps)]
        return [first, *(schedule.project(Level(math.cos(a), math.sin(a))) for a in angles), CLEAN]

"""Spacings in sigma/alpha, the sigma of k-diffusion and EDM."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..level import CLEAN, Level
from ..settings import setting, settings

if TYPE_CHECKING:
    from ..protocols import NoiseSchedule


@settings
class Karras:
    """sigma_i = (sigma_max^(1/rho) + i/(steps-1) * (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, then clean.

    The ends default to the schedule's own. Where the schedule ends at alpha = 0 (zero terminal SNR, flow) the first
    level is pure noise, exactly, and sigma_max, which must then be given, is the second.
    Karras et al. 2022, arXiv:2206.00364, eq. 5.
    """

    rho: float = setting(7.0, low=0.1, high=100.0, help="larger spends more steps at low noise")
    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first finite sigma/alpha; default: the noisiest level")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return _spread(
            schedule, steps, self.sigma_min, self.sigma_max, lambda s: s ** (1 / self.rho), lambda v: v**self.rho
        )


@settings
class Exponential:
    """log sigma linear from sigma_max to sigma_min, which is uniform in log-SNR; then clean.

    The ends are those of ``karras``. k-diffusion's ``get_sigmas_exponential``; arXiv:2206.00927, section 3.
    """

    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first finite sigma/alpha; default: the noisiest level")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return _spread(schedule, steps, self.sigma_min, self.sigma_max, math.log, math.exp)


def _spread(
    schedule: NoiseSchedule,
    steps: int,
    sigma_min: float | None,
    sigma_max: float | None,
    warp: Callable[[float], float],
    unwarp: Callable[[float], float],
) -> list[Level]:
    """steps + 1 levels, equally spaced in warp(sigma/alpha) between the ends, then clean."""
    if steps < 1:
        raise ValueError(f"steps = {steps}: must be at least 1")
    top = schedule.level(1.0)
    head = [] if top.alpha else [top]
    if head and not sigma_max:
        raise ValueError(
            "this schedule ends at alpha = 0, an infinite sigma/alpha: give sigma_max, the first finite one (as 80), "
            "or use trailing or linspace spacing"
        )
    high = sigma_max or top.ve_sigma
    low = sigma_min or schedule.level(1 / schedule.timesteps).ve_sigma
    if low >= high:
        raise ValueError(f"sigma_min = {low:g} must be below sigma_max = {high:g}")
    count = steps - len(head)
    stride = (warp(low) - warp(high)) / max(count - 1, 1)
    sigmas = [high] + [unwarp(warp(high) + i * stride) for i in range(1, count)]
    return head + [schedule.project(Level(1.0, sigma)) for sigma in sigmas[:count]] + [CLEAN]

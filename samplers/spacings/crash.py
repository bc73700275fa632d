"""The spacing of the pseudo linear multistep samplers of v-diffusion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from ..level import CLEAN, Level
from ..settings import settings
from .spread import at_least_one

if TYPE_CHECKING:
    from ..protocols import NoiseSchedule


@settings
class Crash:
    """s_i = s_0 sin^2(pi/2 (1 - i / steps)), i = 0 ... steps, s = sigma / sqrt(alpha^2 + sigma^2); s_0 the noisiest.

    Dense at both ends. Where the schedule ends at alpha = 0 it is that of diffusers' ``IPNDMScheduler``.
    https://github.com/crowsonkb/v-diffusion-pytorch, ``get_crash_schedule``.
    """

    aliases: ClassVar[tuple[str, ...]] = ("sin_squared", "get_crash_schedule")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        top = schedule.level(1.0)
        alpha, sigma = top.alpha / top.norm, top.sigma / top.norm
        levels = [top]
        for i in range(1, steps):
            sine, cosine = math.cos(math.pi / 2 * i / steps), math.sin(math.pi / 2 * i / steps)
            data = math.hypot(alpha, sigma * cosine * math.sqrt(1 + sine**2))
            levels.append(schedule.project(Level(data, sigma * sine**2)))
        return [*levels, CLEAN]

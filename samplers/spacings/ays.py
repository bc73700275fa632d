"""Align Your Steps: levels that were optimised for one model, as published."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..settings import setting, settings
from .spread import at_least_one
from .tabulated import along

if TYPE_CHECKING:
    from ..level import Level
    from ..protocols import NoiseSchedule

SIGMAS = {
    "sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113),
    "svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034),
}
"""sigma/alpha of the ten steps; the last of them ends at the cleanest trained level, here clean."""


@settings
class AYS:
    """The published sigma/alpha for ten steps, log-linear between them for any other number; then clean.

    The first level is the schedule's own noisiest, which the table rounds. The end of the last step, by which other
    numbers of steps are interpolated, is the cleanest trained level. Sabour, Fidler, Kreis 2024, arXiv:2404.14507,
    https://research.nvidia.com/labs/toronto-ai/AlignYourSteps/.
    """

    model: str = setting("sd15", choices=tuple(SIGMAS), help="the model that the table was optimised for")
    aliases: ClassVar[tuple[str, ...]] = ("align_your_steps", "AysSchedules", "AlignYourStepsScheduler")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        table, top, bottom = SIGMAS[self.model], schedule.level(1.0), schedule.level(1 / schedule.timesteps)
        if abs(top.sigma - table[0] * top.alpha) > 0.01 * top.sigma or bottom.ve_sigma >= table[-1]:
            raise ValueError(
                f"the steps of {self.model} go from sigma/alpha = {table[0]:g} to less than {table[-1]:g}, but this "
                f"schedule from {top.ve_sigma:.4g} to {bottom.ve_sigma:.4g}; use another model's, karras or trailing"
            )
        return along(schedule, steps, (top.ve_sigma, *table[1:]))

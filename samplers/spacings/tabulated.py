"""Levels from a table: published, found by ``optimise``, or one's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from ..level import CLEAN, Level
from ..settings import setting, settings
from .spread import at_least_one

if TYPE_CHECKING:
    from ..protocols import NoiseSchedule


@settings
class Tabulated:
    """sigma/alpha listed for one number of steps, log-linear between the entries for any other number; then clean.

    Beyond the last entry it goes down to the cleanest trained level. A first entry within 1 % of the schedule's
    noisiest level is that level; where the schedule ends at alpha = 0 pure noise comes before them, one more step.
    ``samplers.spacings.optimise`` makes such tables from a model. The interpolation is that of Sabour, Fidler, Kreis
    2024, arXiv:2404.14507, https://research.nvidia.com/labs/toronto-ai/AlignYourSteps/.
    """

    sigmas: tuple = setting((14.6, 5.0, 2.0, 1.0, 0.4, 0.1), help="sigma/alpha of the noisy levels, falling")
    aliases: ClassVar[tuple[str, ...]] = ("manual_sigmas", "custom_sigmas")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return along(schedule, steps, self._entries(schedule))

    def _entries(self, schedule: NoiseSchedule) -> list[float]:
        top = schedule.level(1.0).ve_sigma
        if not (self.sigmas and all(_is_positive(sigma) for sigma in self.sigmas)):
            raise ValueError(f"sigmas = {self.sigmas!r}: give numbers above 0, such as sigmas=(14.6, 2.0, 0.4)")
        if math.isinf(top):
            entries = [top, *self.sigmas]
        elif self.sigmas[0] > top * 1.01:
            raise ValueError(
                f"sigmas start at sigma/alpha = {self.sigmas[0]:g}, noisier than the {top:.4g} of this schedule; "
                "use a table that was made for it, karras or trailing"
            )
        else:
            entries = [top if self.sigmas[0] > top * 0.99 else self.sigmas[0], *self.sigmas[1:]]
        for i, (noisy, clean) in enumerate(pairwise(entries)):
            if not noisy > clean:
                raise ValueError(f"sigmas must fall, but {clean:g} follows {noisy:g} at entry {i + 1}")
        return entries


def along(schedule: NoiseSchedule, steps: int, entries: Sequence[float]) -> list[Level]:
    """steps + 1 levels of a schedule: equal strides along a table of sigma/alpha (the first may be inf), then clean.

    The last stride of a table that ends above the cleanest trained level ends there, by which the others are cut.
    """
    at_least_one(steps)
    bottom = schedule.level(1 / schedule.timesteps).ve_sigma
    if bottom < entries[-1]:
        strides, count = len(entries), steps
        entries = [*entries, bottom]
    else:
        strides, count = len(entries) - 1, max(steps - 1, 1)
    sigmas = [interpolated(entries, i * strides / count) for i in range(1, steps)]
    first = schedule.level(1.0) if math.isinf(entries[0]) else schedule.project(Level(1.0, entries[0]))
    return [first, *(schedule.project(Level(1.0, sigma)) for sigma in sigmas), CLEAN]


def interpolated(sigmas: Sequence[float], place: float) -> float:
    """The entry at a fractional index: log-linear; next to inf and 0 linear in sigma / (1 + sigma)."""
    i = int(place)
    part = place - i
    if not part:
        return sigmas[i]
    noisy, clean = sigmas[i], sigmas[i + 1]
    if math.isinf(noisy):
        return (1 - part + clean) / part
    if not clean:
        return (1 - part) * noisy / (1 + part * noisy)
    return noisy * (clean / noisy) ** part


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf

"""Spacings along an arc tangent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..level import CLEAN, Level
from ..settings import setting, settings
from .spread import at_least_one

if TYPE_CHECKING:
    from ..protocols import NoiseSchedule


@settings
class BongTangent:
    """Two arcs of atan, from 1 to ``middle`` and on to 0, times the noise share u = sigma / (alpha + sigma) at t = 1.

    With n = steps + 2 and m = floor(pivot n) the first arc has the points x = 0 ... m - 1, the second n - m points of
    which the first is ``middle``; both follow atan(slope 40 / n (m - x)), stretched to their ends. Few steps lie around
    ``middle``. On flow models it is RES4LYF's; elsewhere that starts at sigma/alpha = 1 whatever the model, this one at
    the noisiest level. https://github.com/ClownsharkBatwing/RES4LYF, ``bong_tangent``.
    """

    middle: float = setting(0.5, low=0.001, high=0.999, help="share of the noise where the arcs meet")
    pivot: float = setting(0.6, low=0.01, high=0.99, help="share of the steps before that")
    slope: float = setting(0.2, low=0.001, high=100.0, help="larger is steeper around the middle")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        top = schedule.level(1.0)
        share = top.sigma / (top.alpha + top.sigma)
        noise = [share * part for part in self._parts(steps)[1:-1]]
        return [top, *(schedule.project(Level(1 - u, u)) for u in noise), CLEAN]

    def _parts(self, steps: int) -> list[float]:
        """From 1 to 0, steps + 1 of them."""
        if steps == 1:
            return [1.0, 0.0]
        n = steps + 2
        m = min(max(int(n * self.pivot), 2), n - 2)
        curve = [math.atan(self.slope * 40 / n * (m - x)) for x in range(n)]
        first = [self.middle + (1 - self.middle) * part for part in _stretched(curve[:m])]
        return first[:-1] + [self.middle * part for part in _stretched(curve[m:])]


def _stretched(values: list[float]) -> list[float]:
    """To the range from 1 to 0."""
    return [(value - values[-1]) / (values[0] - values[-1]) for value in values]

"""The ends that every spacing in sigma/alpha shares: the schedule's own, or given ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..level import CLEAN, Level

if TYPE_CHECKING:
    from ..protocols import NoiseSchedule

Curve = Callable[[float, float, float], float]
"""``(first sigma, last sigma, position in [0, 1]) -> sigma``, strictly decreasing in the position."""


def spread(
    schedule: NoiseSchedule, steps: int, sigma_min: float | None, sigma_max: float | None, curve: Curve
) -> list[Level]:
    """steps + 1 levels: sigma/alpha along the curve from sigma_max to sigma_min, then clean.

    Where the schedule ends at alpha = 0 the first level is pure noise, exactly, and sigma_max, the second, is required.

    Raises:
        ValueError: for ends that are missing or in the wrong order, and for less than one step.
    """
    low, high = ends(schedule, sigma_min, sigma_max)
    at_least_one(steps)
    top = schedule.level(1.0)
    given = schedule.project(Level(1.0, high)) if sigma_max else top
    head = [given] if top.alpha else [top, given]
    count = steps - len(head) + 1
    tail = [curve(high, low, i / (count - 1)) for i in range(1, count)]
    return [*head[:steps], *(schedule.project(Level(1.0, sigma)) for sigma in tail), CLEAN]


def ends(schedule: NoiseSchedule, sigma_min: float | None, sigma_max: float | None) -> tuple[float, float]:
    """The last and the first finite sigma/alpha."""
    top = schedule.level(1.0)
    if not top.alpha and not sigma_max:
        raise ValueError(
            "this schedule ends at alpha = 0, an infinite sigma/alpha: give sigma_max, the first finite one (as 80), "
            "or use trailing or linspace spacing"
        )
    high = sigma_max or top.ve_sigma
    low = sigma_min or schedule.level(1 / schedule.timesteps).ve_sigma
    if low >= high:
        raise ValueError(f"sigma_min = {low:g} must be below sigma_max = {high:g}")
    return low, high


def at_least_one(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps = {steps}: must be at least 1")

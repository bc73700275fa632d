"""Noise schedules as curves, and spacings as the steps they take along them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...plugins.registry import build, catalogue, describe
from ...samplers.level import Level
from ...samplers.protocols import NoiseSchedule, Spacing

POINTS = 200
COUNTS = (2, 4, 6, 8, 10, 15, 20, 30, 50)
"""Numbers of steps that the page can choose from."""

Point = tuple[float, float | None]
"""t in [0, 1] and logsnr = 2 log(alpha / sigma); None for an infinite one, at either end."""


def schedules(*more: NoiseSchedule) -> dict[str, NoiseSchedule]:
    """Every registered schedule with its defaults, and ``more`` by their text."""
    return {name: build("schedule", name) for name in catalogue("schedule")} | {
        describe("schedule", each): each for each in more
    }


def spacings(*more: str) -> dict[str, Spacing]:
    """Every registered spacing with its defaults, and ``more``, such as karras(sigma_max=80)."""
    return {text: build("spacing", text) for text in (*catalogue("spacing"), *more)}


def curves(of: Mapping[str, NoiseSchedule]) -> dict[str, list[Point]]:
    """Points of every schedule, from clean to noisy."""
    return {
        name: [_point(schedule.level(i / POINTS), i / POINTS) for i in range(POINTS + 1)]
        for name, schedule in of.items()
    }


def taken(
    of: Mapping[str, NoiseSchedule], by: Mapping[str, Spacing]
) -> dict[str, dict[str, dict[int, list[Point] | str]]]:
    """By schedule, spacing and number of steps: the points of the steps + 1 levels, or the reason for a refusal."""
    return {
        name: {text: {count: _steps(schedule, spacing, count) for count in COUNTS} for text, spacing in by.items()}
        for name, schedule in of.items()
    }


def _steps(schedule: NoiseSchedule, spacing: Spacing, count: int) -> list[Point] | str:
    try:
        return [_point(level, schedule.time(level)) for level in spacing(schedule, count)]
    except ValueError as error:
        return str(error)


def _point(level: Level, t: float) -> Point:
    logsnr = 2 * level.half_logsnr
    return round(t, 4), round(logsnr, 3) if math.isfinite(logsnr) else None

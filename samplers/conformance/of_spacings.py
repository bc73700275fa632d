"""Checks of spacings: steps + 1 levels of the schedule, noisy to clean, or a refusal that says why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ..level import CLEAN, Level
from ..path import Path
from ..protocols import NoiseSchedule, Spacing
from ..schedules import VE, Cosine, Flow, ScaledLinear, ZeroTerminalSNR
from .trial import label, require

SCHEDULES: tuple[NoiseSchedule, ...] = (ScaledLinear(), Cosine(), VE(), Flow(), Flow(shift=3.0), ZeroTerminalSNR())
"""Discrete and continuous, variance preserving, exploding and flow, with and without an end at alpha = 0."""

COUNTS = (1, 2, 3, 10, 37)


def check_count(spacing: Spacing) -> None:
    """As many steps as asked for: steps + 1 levels, for any number that is not refused."""
    for schedule, steps, levels in _answers(spacing):
        message = f"{steps} steps on {label(schedule)} gave {len(levels)} levels, expected {steps + 1}"
        require(len(levels) == steps + 1, spacing, message)


def check_refusals(spacing: Spacing) -> None:
    """What cannot be done raises ValueError with a reason; one step and ten steps can be, on some schedule."""
    served = set()
    for schedule in SCHEDULES:
        for steps in COUNTS:
            try:
                spacing(schedule, steps)
            except ValueError as error:
                message = f"{steps} steps on {label(schedule)} raised ValueError without a reason; say what can be done"
                require(len(str(error)) > 10, spacing, message)
            except Exception as error:
                message = f"{steps} steps on {label(schedule)} raised {error!r}; refuse with a ValueError that says why"
                raise AssertionError(f"{label(spacing)}: {message}") from error
            else:
                served.add(steps)
    for steps in (1, 10):
        require(steps in served, spacing, f"refuses {steps} {'step' if steps == 1 else 'steps'} on every schedule")


def check_decreasing(spacing: Spacing) -> None:
    """Levels that make a path: finite, from noisy to clean, without repeats."""
    for schedule, steps, levels in _answers(spacing):
        try:
            Path(levels)
        except (ValueError, TypeError) as error:
            raise AssertionError(f"{label(spacing)}: {steps} steps on {label(schedule)}: {error}") from error


def check_scale(spacing: Spacing) -> None:
    """All levels are in the schedule's own scale."""
    for schedule, steps, levels in _answers(spacing):
        for i, level in enumerate(levels):
            own = schedule.project(level)
            error = math.hypot(level.alpha - own.alpha, level.sigma - own.sigma) / own.norm
            message = (
                f"level {i} of {steps} steps on {label(schedule)} is {tuple(level)}, in that process {tuple(own)}; "
                "take levels from schedule.level(t), or schedule.project(Level(1.0, sigma))"
            )
            require(error < 1e-6, spacing, message)


def check_clean_end(spacing: Spacing) -> None:
    """The last level is (1, 0), so that the last step returns an image."""
    for schedule, steps, levels in _answers(spacing):
        message = f"{steps} steps on {label(schedule)} end at {tuple(levels[-1])}, expected (1.0, 0.0)"
        require(levels[-1] == CLEAN, spacing, message)


def check_repeats(spacing: Spacing) -> None:
    """The same question has the same answer."""
    for schedule, steps, levels in _answers(spacing):
        again = list(spacing(schedule, steps))
        message = f"{steps} steps on {label(schedule)} gave two different answers"
        require(again == levels, spacing, message)


CHECKS: tuple[Callable[[Spacing], None], ...] = (
    check_refusals,
    check_count,
    check_decreasing,
    check_scale,
    check_clean_end,
    check_repeats,
)


def _answers(spacing: Spacing) -> Iterator[tuple[NoiseSchedule, int, list[Level]]]:
    for schedule in SCHEDULES:
        for steps in COUNTS:
            try:
                levels = list(spacing(schedule, steps))
            except ValueError:
                continue
            yield schedule, steps, levels

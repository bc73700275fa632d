"""Checks of noise schedules: levels that exist, noise that grows, times that come back."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from ..level import CLEAN, PURE_NOISE, Level
from ..protocols import NoiseSchedule
from .trial import require

TIMES = [i / 64 for i in range(1, 64)] + [1e-3, 0.999]
SCALE = 3.0


def check_timesteps(schedule: NoiseSchedule) -> None:
    """The size of the training grid is a whole number from 1."""
    size = schedule.timesteps
    require(type(size) is int and size >= 1, schedule, f"timesteps is {size!r}, must be an int from 1")


def check_levels(schedule: NoiseSchedule) -> None:
    """Every time in [0, 1] has a level of two finite floats; t = 0 is clean."""
    for t in (0.0, *TIMES, 1.0):
        level = schedule.level(t)
        require(isinstance(level, Level), schedule, f"level({t:g}) is {level!r}, must be a Level(alpha, sigma)")
        floats = all(type(part) is float and 0 <= part < math.inf for part in level) and level.norm > 0
        expected = "must be two finite Python floats >= 0, not both 0; convert tensors and numpy numbers with float()"
        require(floats, schedule, f"level({t:g}) is {tuple(level)!r}, {expected}")
    clean = schedule.level(0.0)
    require(clean.sigma == 0, schedule, f"level(0) is {tuple(clean)}, must be clean: sigma = 0")


def check_noise_grows(schedule: NoiseSchedule) -> None:
    """sigma/alpha grows strictly with t."""
    times = sorted({0.0, *TIMES, 1.0})
    for before, after in pairwise(times):
        low, high = schedule.level(before), schedule.level(after)
        message = (
            f"sigma/alpha does not grow from t = {before:g} ({low.ve_sigma:.6g}) to t = {after:g} "
            f"({high.ve_sigma:.6g}); t = 0 is clean and t = 1 the noisiest"
        )
        require(high.noisier_than(low), schedule, message)


def check_inverse(schedule: NoiseSchedule) -> None:
    """time(level(t)) is t, and does not depend on the scale of the level."""
    for t in (*TIMES, 1.0):
        level = schedule.level(t)
        error = abs(schedule.time(level) - t)
        message = f"time(level({t:g})) is {error:.1e} away from {t:g}, expected < 1e-6; time must invert level"
        require(error < 1e-6, schedule, message)
        scaled = abs(schedule.time(Level(SCALE * level.alpha, SCALE * level.sigma)) - t)
        message = (
            f"time of {SCALE:g} * level({t:g}) is {scaled:.1e} away from {t:g}; time may depend on sigma/alpha alone, "
            "since a level may come in another process's scale"
        )
        require(scaled < 1e-6, schedule, message)


def check_project(schedule: NoiseSchedule) -> None:
    """project keeps sigma/alpha, and leaves the schedule's own levels, in any scale, as they are."""
    for t in (*TIMES, 1.0):
        own = schedule.level(t)
        for scale, name in ((1.0, "level"), (SCALE, f"{SCALE:g} * level")):
            projected = schedule.project(Level(scale * own.alpha, scale * own.sigma))
            error = math.hypot(projected.alpha - own.alpha, projected.sigma - own.sigma) / own.norm
            message = (
                f"project({name}({t:g})) is {tuple(projected)}, expected {tuple(own)}; it must give the level of this "
                "process, in its own scale, with the same sigma/alpha"
            )
            require(error < 1e-6, schedule, message)
    for level in (CLEAN, Level(2.0, 0.6)):
        projected = schedule.project(level)
        same = math.isclose(projected.sigma * level.alpha, level.sigma * projected.alpha, rel_tol=1e-9, abs_tol=1e-12)
        message = f"project({tuple(level)}) is {tuple(projected)}, which has another sigma/alpha"
        require(same, schedule, message)


def check_pure_noise(schedule: NoiseSchedule) -> None:
    """A schedule that ends at alpha = 0 ends at (0, 1) exactly, and that level projects to itself."""
    last = schedule.level(1.0)
    if last.alpha:
        return
    require(last == PURE_NOISE, schedule, f"level(1) is {tuple(last)}; pure noise is (0.0, 1.0)")
    projected = schedule.project(PURE_NOISE)
    require(projected == PURE_NOISE, schedule, f"project((0, 1)) is {tuple(projected)}; pure noise stays pure noise")


CHECKS: tuple[Callable[[NoiseSchedule], None], ...] = (
    check_timesteps,
    check_levels,
    check_noise_grows,
    check_inverse,
    check_project,
    check_pure_noise,
)

"""Levels between which the error, or whatever is measured of it, is spread evenly."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from ..level import Level, between
from ..path import Path
from .spread import at_least_one
from .tabulated import interpolated


def equidistribute(levels: Sequence[Level], monitor: Sequence[float], steps: int) -> list[Level]:
    """steps + 1 levels between which a monitor function has equal sums; log-linear in sigma/alpha within a fine step.

    For a method of order p whose error on fine step i is e_i, the monitor e_i^(1 / (p + 1)) spreads few steps with the
    least sum of errors as they get small, the equidistribution principle.

    Args:
        levels: fine ones, noisy to clean.
        monitor: its sum over each of their steps.
    """
    path = Path(levels)
    if len(monitor) != len(path) or not (all(value >= 0 for value in monitor) and 0 < sum(monitor) < math.inf):
        raise ValueError(f"monitor must be {len(path)} numbers >= 0, not all 0, one for each step of the fine levels")
    at_least_one(steps)
    sums = [0.0, *accumulate(monitor)]
    sigmas = [level.ve_sigma for level in path.levels]
    found = [path.levels[0]]
    for target in (sums[-1] * k / steps for k in range(1, steps)):
        i = bisect_right(sums, target) - 1
        sigma = interpolated(sigmas, i + (target - sums[i]) / monitor[i])
        found.append(between(path.levels[i], path.levels[i + 1], -math.log(sigma)))
    return [*found, path.levels[-1]]

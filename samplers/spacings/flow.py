"""Spacings made for flow models: uneven strides of time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from ..level import CLEAN, Level
from ..settings import setting, settings
from .spread import at_least_one

if TYPE_CHECKING:
    from ..protocols import NoiseSchedule


@settings
class LinearQuadratic:
    """1 - t grows linearly to ``threshold`` in ``linear_steps`` steps, then quadratically, with one slope, to 1.

    Small first steps, as the first of a finer linear grid, for video models. t is the schedule's own time.
    Polyak et al. 2024 (Movie Gen), arXiv:2410.13720.
    """

    threshold: float = setting(0.025, low=1e-6, high=0.999, help="1 - t at the end of the linear part")
    linear_steps: int | None = setting(None, low=1, high=10_000, help="steps of the linear part; default: half")
    aliases: ClassVar[tuple[str, ...]] = ("mochi",)

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        linear = steps // 2 if self.linear_steps is None else self.linear_steps
        if steps > 1 and linear >= steps:
            raise ValueError(
                f"linear_steps = {linear}: must be below steps = {steps}; use fewer or leave it to be half"
            )
        if steps == 1:
            return [schedule.level(1.0), CLEAN]
        slope, rest = self.threshold / linear, steps - linear
        curvature = (1 - slope * steps) / rest**2
        if slope + 2 * curvature * rest <= 0:
            raise ValueError(f"threshold = {self.threshold:g} is too large for {linear} of {steps} steps; use less")
        elapsed = [slope * i + curvature * max(i - linear, 0) ** 2 for i in range(steps)]
        return [schedule.level(1 - part) for part in elapsed] + [CLEAN]


@settings
class LTXV:
    """Trailing, then 1 - u stretched so that the last noisy level has u = ``terminal``; u = sigma / (alpha + sigma).

    For schedules that end at alpha = 0; the shift by image size belongs to the schedule. HaCohen et al. 2024
    (LTX-Video), arXiv:2501.00103.
    """

    terminal: float = setting(0.1, low=0.001, high=0.999, help="noise share of the last noisy level")
    aliases: ClassVar[tuple[str, ...]] = ("LTXVScheduler", "shift_terminal")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        if schedule.level(1.0).alpha:
            raise ValueError("ltxv spacing is for schedules that end at alpha = 0, such as flow; use trailing")
        levels = [schedule.level(1 - i / steps) for i in range(steps)]
        clean = [level.alpha / (level.alpha + level.sigma) for level in levels]
        stretched = [share / clean[-1] * (1 - self.terminal) if share else 0.0 for share in clean]
        return [schedule.project(Level(share, 1 - share)) for share in stretched] + [CLEAN]


@settings
class Flux2:
    """u = shift t / (shift t + 1 - t) at t = 1 - i / steps, log shift linear in image tokens and in steps; then clean.

    Up to 4300 tokens log shift goes from 1.8983 + 8.738e-5 tokens at 10 steps to 0.4567 + 1.6927e-4 tokens at 200, in a
    line; above, it is the latter. u = sigma / (alpha + sigma), whatever shift the schedule has. For schedules that end
    at alpha = 0. An image has width / 16 * height / 16 tokens. https://github.com/black-forest-labs/flux2.
    """

    tokens: int = setting(4096, low=1, high=10_000_000, help="of the image")
    aliases: ClassVar[tuple[str, ...]] = ("Flux2Scheduler", "compute_empirical_mu")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        if schedule.level(1.0).alpha:
            raise ValueError("flux2 spacing is for schedules that end at alpha = 0, such as flow; use trailing")
        shift = math.exp(self._log_shift(steps))
        return [schedule.project(Level(float(i), shift * (steps - i))) for i in range(steps)] + [CLEAN]

    def _log_shift(self, steps: int) -> float:
        many = 0.45666666 + 0.00016927 * self.tokens
        if self.tokens > 4300:
            return many
        few = 1.89833333 + 8.73809524e-05 * self.tokens
        return few + (steps - 10) / 190 * (many - few)

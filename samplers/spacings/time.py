"""Spacings uniform in time: the three ways to pick steps from a training grid.

Lin et al. 2023, arXiv:2305.08891, table 2. Times are not rounded to the grid: a network's time embedding is continuous,
and rounding is what loses and repeats steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..level import CLEAN
from ..settings import setting, settings

if TYPE_CHECKING:
    from ..level import Level
    from ..protocols import NoiseSchedule


@settings
class Trailing:
    """t = 1 - i / steps, i = 0 ... steps: from the very last level in equal strides to clean.

    The right choice for zero terminal SNR and for distilled models (ComfyUI: ``sgm_uniform``).
    arXiv:2305.08891, table 2.
    """

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return [schedule.level(1 - i / steps) for i in range(steps)] + [CLEAN]


@settings
class Leading:
    """t = (i * floor(T / steps) + offset + 1) / T, i = steps - 1 ... 0, T = timesteps of the schedule; then clean.

    diffusers' default for older models. It never starts at the last level, so it cannot serve zero terminal SNR.
    arXiv:2305.08891, table 2.
    """

    offset: int = setting(0, low=0, high=1000, help="steps_offset of the model's scheduler config; 1 for SD 1.5")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        grid = schedule.timesteps
        if not schedule.level(1.0).alpha:
            raise ValueError(
                "leading spacing starts below the last level, but this schedule ends at alpha = 0 and a model trained "
                "on it must start there; use trailing or linspace"
            )
        if not 1 <= steps <= grid:
            raise ValueError(f"steps = {steps}: leading spacing has one step per trained timestep, 1 to {grid}")
        stride = grid // steps
        if (steps - 1) * stride + self.offset + 1 > grid:
            raise ValueError(f"offset = {self.offset}: beyond the last of {grid} timesteps for {steps} steps")
        return [schedule.level((i * stride + self.offset + 1) / grid) for i in reversed(range(steps))] + [CLEAN]


@settings
class Linspace:
    """steps points from t = 1 to t = 1 / T, both included, then clean (T = timesteps of the schedule).

    arXiv:2305.08891, table 2.
    """

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        last = 1 / schedule.timesteps
        stride = (1 - last) / max(steps - 1, 1)
        return [schedule.level(1 - i * stride) for i in range(steps)] + [CLEAN]

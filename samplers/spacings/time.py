"""Spacings uniform in time: the three ways to pick steps from a training grid.

Lin et al. 2023, arXiv:2305.08891, table 2. Times are not rounded to the grid: a network's time embedding is continuous,
and rounding is what loses and repeats steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..level import CLEAN
from ..settings import setting, settings
from .spread import at_least_one

if TYPE_CHECKING:
    from ..level import Level
    from ..protocols import NoiseSchedule


@settings
class Trailing:
    """t = 1 - i / steps, i = 0 ... steps: from the very last level in equal strides to clean.

    The right choice for zero terminal SNR and for distilled models. arXiv:2305.08891, table 2.
    """

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return [schedule.level(1 - i / steps) for i in range(steps)] + [CLEAN]


@settings
class Leading:
    """t = (i * floor(T / (steps + spare)) + offset + 1) / T, i from steps - 1 + spare down to spare; then clean.

    T = timesteps of the schedule. diffusers' default for older models; spare = 1 in its DPM-Solver, UniPC and DEIS. It
    never starts at the last level, so it cannot serve zero terminal SNR. arXiv:2305.08891, table 2.
    """

    offset: int = setting(0, low=0, high=1000, help="steps_offset of the model's scheduler config; 1 for SD 1.5")
    spare: int = setting(0, low=0, high=1, help="strides left out at the clean end")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        grid = schedule.timesteps
        if not schedule.level(1.0).alpha:
            raise ValueError(
                "leading spacing starts below the last level, but this schedule ends at alpha = 0 and a model trained "
                "on it must start there; use trailing or linspace"
            )
        if not 1 <= steps <= grid - self.spare:
            raise ValueError(
                f"steps = {steps}: leading spacing has one step per trained timestep, 1 to {grid - self.spare}; "
                "use trailing"
            )
        stride = grid // (steps + self.spare)
        places = [i * stride + self.offset + 1 for i in reversed(range(self.spare, steps + self.spare))]
        if places[0] > grid:
            raise ValueError(
                f"offset = {self.offset}: beyond the last of {grid} timesteps for {steps} steps; use trailing"
            )
        return [schedule.level(place / grid) for place in places] + [CLEAN]


@settings
class Linspace:
    """steps points from t = 1 to t = 1 / T, both included, then clean (T = timesteps of the schedule).

    ComfyUI's ``normal``. arXiv:2305.08891, table 2.
    """

    aliases: ClassVar[tuple[str, ...]] = ("normal",)

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        last = 1 / schedule.timesteps
        stride = (1 - last) / max(steps - 1, 1)
        return [schedule.level(1 - i * stride) for i in range(steps)] + [CLEAN]


@settings
class SGMUniform:
    """steps + 1 points from t = 1 to t = 1 / T, the last dropped, then clean (T = timesteps of the schedule).

    ``trailing`` in all but the fraction of a timestep: strides of (T - 1) / steps timesteps, not T / steps.
    https://github.com/Stability-AI/generative-models, ``LegacyDDPMDiscretization``.
    """

    aliases: ClassVar[tuple[str, ...]] = ("LegacyDDPMDiscretization",)

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        span = 1 - 1 / schedule.timesteps
        return [schedule.level(1 - i * span / steps) for i in range(steps)] + [CLEAN]


@settings
class Simple:
    """t = 1 - floor(i * grid / steps) / grid, i = 0 ... steps - 1, then clean: trailing, rounded up to a grid.

    On the training grid ComfyUI's ``simple``; on the grid of 50 by which they were distilled, latent consistency
    models'. Luo et al. 2023, arXiv:2310.04378.
    """

    grid: int | None = setting(None, low=1, high=100_000, help="times to choose from; default: the trained ones")
    aliases: ClassVar[tuple[str, ...]] = ("lcm_subset",)

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        grid = self.grid or schedule.timesteps
        if not 1 <= steps <= grid:
            raise ValueError(f"steps = {steps}: there are {grid} times to choose from; use trailing")
        return [schedule.level(1 - i * grid // steps / grid) for i in range(steps)] + [CLEAN]


@settings
class DDIMUniform:
    """t = (i * floor(T / steps) + 2) / T, i = steps - 1 ... 0, then clean: ``leading`` with offset 1.

    The timesteps of latent diffusion's DDIM, but always as many as asked for (ComfyUI gives 31 for 30, 63 for 60).
    https://github.com/CompVis/latent-diffusion, ``make_ddim_timesteps``.
    """

    aliases: ClassVar[tuple[str, ...]] = ("make_ddim_timesteps",)

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return Leading(offset=1)(schedule, steps)


@settings
class SDTurbo:
    """t = 1 - i / grid, i = 0 ... steps - 1, then clean: the first steps of a trailing grid of ten.

    The last step is the long one. With grid = 4, t is 1, 0.75, 0.5, 0.25, the times Turbo models were distilled at.
    Sauer et al. 2023, arXiv:2311.17042.
    """

    grid: int = setting(10, low=1, high=1000, help="strides from t = 1 to 0")
    aliases: ClassVar[tuple[str, ...]] = ("SDTurboScheduler", "turbo")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        if steps > self.grid:
            raise ValueError(f"steps = {steps}: must be at most grid = {self.grid}; raise grid or use trailing")
        return [schedule.level(1 - i / self.grid) for i in range(steps)] + [CLEAN]

"""A ComfyUI model's noise schedule, walked by spacings, and their levels as SIGMAS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...samplers.level import PURE_NOISE, Level
from ...samplers.protocols import NoiseSchedule, Spacing
from ...samplers.schedules import Flow
from ...samplers.schedules.table import Table
from .process import Process, process_of

if TYPE_CHECKING:
    from torch import Tensor

CLOSE = 1e-4
"""How far a flow's table may be from the formula, in sigma."""


@dataclass(frozen=True)
class HostSchedule:
    """The levels of a model_sampling's ``sigmas`` at t = i / T, log-linear in between as in ComfyUI.

    From the noisiest finite one to pure noise, where there is pure noise, alpha / norm is linear.
    """

    process: Process
    sigmas: tuple[float, ...]

    @property
    def timesteps(self) -> int:
        return len(self.sigmas)

    def level(self, t: float) -> Level:
        table, share = _table(self), self._finite
        if t <= share:
            return self.project(table.level(t / share))
        last = table.levels[-1]
        alpha = last.alpha / last.norm * (1 - t) / (1 - share)
        return self.project(Level(alpha, (1 - alpha * alpha) ** 0.5))

    def time(self, level: Level) -> float:
        table, share = _table(self), self._finite
        last = table.levels[-1]
        if share == 1 or not level.noisier_than(last):
            return table.time(level) * share
        return 1 - level.alpha / level.norm / (last.alpha / last.norm) * (1 - share)

    def project(self, level: Level) -> Level:
        return self.process.level(self.process.sigma(level)) if level.alpha else PURE_NOISE

    @property
    def _finite(self) -> float:
        """The share of t below pure noise."""
        return len(_table(self).levels) / self.timesteps


@dataclass(frozen=True)
class Until:
    """Another schedule from clean up to a level, where it goes beyond."""

    schedule: NoiseSchedule
    top: Level

    @property
    def timesteps(self) -> int:
        return self.schedule.timesteps

    def level(self, t: float) -> Level:
        return self.schedule.level(t * self._end)

    def time(self, level: Level) -> float:
        return min(1.0, self.schedule.time(level) / self._end)

    def project(self, level: Level) -> Level:
        return self.schedule.project(level)

    @property
    def _end(self) -> float:
        return self.schedule.time(self.top) if self.schedule.level(1.0).noisier_than(self.top) else 1.0


def schedule_of(model_sampling: Any) -> NoiseSchedule:
    """The schedule of a model: the formula of a flow, the table of anything else."""
    return _schedule(process_of(model_sampling), tuple(model_sampling.sigmas.tolist()))


@lru_cache(maxsize=16)
def _schedule(process: Process, sigmas: tuple[float, ...]) -> NoiseSchedule:
    half = sigmas[len(sigmas) // 2 - 1]
    if process.flow and process.scale == sigmas[-1] == 1 and 0.01 < half < 0.99:
        flow = Flow(half / (1 - half), len(sigmas))
        grid = enumerate(sigmas, 1)
        if all(abs(flow.level(i / len(sigmas)).sigma - sigma) < CLOSE for i, sigma in grid):
            return flow
    return HostSchedule(process, tuple(sorted(set(sigmas))))


@lru_cache(maxsize=16)
def _table(schedule: HostSchedule) -> Table:
    levels = (schedule.process.level(sigma) for sigma in schedule.sigmas)
    return Table(level for level in levels if level.alpha and level.sigma)


def sigmas_of(process: Process, levels: Sequence[Level], steps: int) -> Tensor:
    """The last steps + 1 levels as SIGMAS, float32 on the CPU."""
    import torch

    return torch.tensor([process.sigma(level) for level in levels[-(steps + 1) :]], dtype=torch.float32)


def walk(spacing: Spacing, schedule: NoiseSchedule, process: Process, steps: int, denoise: float) -> Tensor:
    """SIGMAS of a spacing over a schedule; denoise < 1 keeps the last steps of a longer walk, as in BasicScheduler."""
    import torch

    if denoise <= 0:
        return torch.empty(0)
    return sigmas_of(process, spacing(schedule, int(steps / denoise)), steps)

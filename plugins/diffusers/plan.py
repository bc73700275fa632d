"""The evaluations of a run, known before it begins: a pipeline wants their number and times in advance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...samplers.level import Level
from ...samplers.path import Path
from ...samplers.protocols import Sampler
from ..prediction import Prediction
from ..registry import describe
from .levels import sigma_of

ROUNDING = 1e-12
"""Of the norm of a level, in float64."""
STEEP = 3
"""Slope of the second denoiser of a dry run, steep enough to make any estimate of an error large."""


class Plan:
    """What a sampler will ask along a path.

    Attributes:
        prediction: what answers.
        path: the steps.
        levels: of the evaluations, in order.
        terms: how the network is asked at each of them.
        times, sigmas: of them, as pipelines count, on the CPU; sigmas has one more, of the end.
        scales: the factors from the sampler's x to the model's input at each, and to the image after the last.

    Raises:
        ValueError: for a level that the model cannot serve, and a sampler that decides on its evaluations as it goes.
    """

    def __init__(self, sampler: Sampler, prediction: Prediction, path: Path) -> None:
        self.sampler, self.prediction, self.path = sampler, prediction, path
        self.levels = evaluations(sampler, path)
        self.terms = [prediction.terms(level) for level in self.levels]
        self.times = torch.tensor([terms.time for terms in self.terms], dtype=torch.float32)
        self.sigmas = torch.tensor([sigma_of(prediction, level) for level in (*self.levels, path.levels[-1])])
        self.scales = [1.0 if abs(terms.scale - 1) < ROUNDING else terms.scale for terms in self.terms] + [1.0]

    def __len__(self) -> int:
        return len(self.levels)

    def level(self, index: int) -> Level:
        """The level at that evaluation in the model's own scale, and after the last one the end of the path."""
        level = self.levels[index] if index < len(self) else self.path.levels[-1]
        return Level(level.alpha * self.scales[index], level.sigma * self.scales[index])

    def start(self, steps: int) -> int:
        """The evaluation with which a run begins that leaves out the first steps."""
        if steps <= 0 or steps >= len(self.path):
            return 0 if steps <= 0 else len(self)
        return len(self) - len(evaluations(self.sampler, Path(self.path.levels[steps:])))

    def rest(self, index: int) -> Path:
        """The steps of a run that makes the evaluations from ``index`` on, and no other.

        Raises:
            ValueError: if there is none.
        """
        if index == 0:
            return self.path
        for i, level in enumerate(self.path.levels[:-1]):
            if level == self.levels[index]:
                path = Path(self.path.levels[i:])
                if evaluations(self.sampler, path) == self.levels[index:]:
                    return path
        raise ValueError(
            f"{describe('sampler', self.sampler)} cannot begin at evaluation {index} of {len(self)}: without its"
            " first steps it would ask at other levels. Leave out none (strength 1), or use one such as dpmpp_2m"
        )

    def index_of(self, time: float, times: Sequence[float]) -> int:
        """The evaluation of that time, of several the one with which a step begins.

        Raises:
            ValueError: if there is none.
        """
        found = [i for i, other in enumerate(times) if other == time]
        if not found:
            raise ValueError(f"{time:g} is not one of the timesteps {times}")
        return next((i for i in found if self.begins_step(i)), found[0])

    def begins_step(self, index: int) -> bool:
        try:
            self.rest(index)
        except ValueError:
            return False
        return True


class Evaluations(int):
    """Evaluations of a step; times a number of steps, those of so many first steps.

    Pipelines leave out steps by ``timesteps[steps * scheduler.order:]``. A step from pure noise takes one evaluation
    whatever the sampler, so the product of two plain integers would point into the middle of a step.
    """

    plan: Plan | None

    def __new__(cls, each: int, plan: Plan | None) -> Evaluations:
        number = super().__new__(cls, each)
        number.plan = plan
        return number

    def __mul__(self, steps: Any) -> Any:
        return self.plan.start(steps) if self.plan and isinstance(steps, int) else int(self) * steps

    __rmul__ = __mul__


def evaluations(sampler: Sampler, path: Path) -> list[Level]:
    """The levels at which a run along the path asks for x0.

    Raises:
        ValueError: where they depend on the answers, or the first is not of the x that the run is given.
    """
    levels = _dry_run(sampler, path, 0)
    if levels != _dry_run(sampler, path, STEEP):
        raise ValueError(
            f"{describe('sampler', sampler)} chooses its evaluations as it goes, but a pipeline must know them all in"
            " advance: use a sampler with steps of given sizes"
        )
    return levels


def _dry_run(sampler: Sampler, path: Path, slope: float) -> list[Level]:
    """A run on one number with the denoiser tanh(slope (x + 1))."""
    x = first = torch.ones(1, 1, dtype=torch.float64)
    still = torch.zeros_like(x)
    levels: list[Level] = []
    run, reply = sampler(x, path, lambda s, t: first), None
    while True:
        try:
            x, level = run.send(reply)  # type: ignore[arg-type]
        except StopIteration:
            return levels
        if not levels and (level != path.levels[0] or not torch.equal(x, first)):
            raise ValueError(
                f"{describe('sampler', sampler)} changes x before its first evaluation, which a pipeline makes on its"
                " own latents: use a setting or a sampler that does not"
            )
        levels.append(level)
        x0 = torch.tanh(slope * (x + 1)) if slope else still
        reply = (x, x0, *(x0 for _ in sampler.needs))

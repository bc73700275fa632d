"""A job at work: some images of one cell, from one request for predictions to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..plugins.registry import build
from ..samplers.brownian import BrownianNoise
from ..samplers.level import Level
from ..samplers.noise import SeededNoise
from ..samplers.perturbation import Branch
from ..samplers.protocols import Predictions, Run
from ..samplers.run import guide, start
from .branches import Texts, condition, cost, texts_of
from .cells import Cell, levels
from .clock import Seconds
from .protocols import Condition, Model, Sample, Starting

Request = tuple[Tensor, Level, Mapping[Branch, Condition]]
Reply = tuple[Tensor, Predictions]


@dataclasses.dataclass(frozen=True)
class Job:
    """Some images of one cell."""

    cell: Cell
    samples: Sequence[Sample]


class Done(NamedTuple):
    """A job that has ended: clean x (B, *shape), or the error that ended it. Its tensors lie on the device, unread."""

    job: Job
    x: Tensor | None
    finite: Tensor | None
    """bool (B,): which images are; whoever reads them raises what ``diverged`` says."""
    error: Exception | None
    evaluations: int
    """Rows that it asked the network for, whether or not others had asked for the same."""
    seconds: Seconds
    """Time of the calls that answered it, in proportion to its rows; a shared answer counts in full for each."""

    def failure(self) -> Exception | None:
        """What ended it, or that some of its images are not finite, which has to be read from the device."""
        return self.error or (None if self.finite is None else diverged(self.job.cell, self.finite))


def finite_rows(x: Tensor) -> Tensor:
    """bool (B,): which images hold nothing but numbers."""
    return x.isfinite().flatten(1).all(1)


def diverged(cell: Cell, finite: Tensor | np.ndarray) -> FloatingPointError | None:
    """What is to be raised of images of which these are finite; None if all are. It reads the values."""
    bad = len(finite) - int(finite.sum())
    what = f"{bad} of {len(finite)} images are not finite: {cell.sampler} diverged"
    return FloatingPointError(what) if bad else None


class Live:
    """A job at work, in one walk or, where error control decides how an image steps, in one for each image."""

    def __init__(self, model: Model, job: Job, device: str) -> None:
        self.job = job
        together = build("sampler", job.cell.sampler).evaluations is not None
        parts = [job.samples] if together else [[sample] for sample in job.samples]
        self.walks = [Walk(model, job.cell, part, device) for part in parts]

    @property
    def ended(self) -> bool:
        return all(walk.ended for walk in self.walks)

    def done(self) -> Done:
        error = next((walk.error for walk in self.walks if walk.error), None)
        x = None if error else torch.cat([walk.x for walk in self.walks if walk.x is not None])
        finite = None if x is None else finite_rows(x)
        seconds = Seconds()
        for walk in self.walks:
            seconds.extend(walk.seconds)
        return Done(self.job, x, finite, error, sum(walk.evaluations for walk in self.walks), seconds)


class Walk:
    """Images on their way along a path: what they ask, or what they ended with.

    ``around`` wraps the sampler's run, below its guidance, for those who want to see it work.
    """

    def __init__(
        self, model: Model, cell: Cell, samples: Sequence[Sample], device: str,
        around: Callable[[Run], Run] = lambda run: run,
    ) -> None:  # fmt: skip
        self.cell, self.samples, self.device, self.ended = cell, samples, device, False
        self.x: Tensor | None = None
        self.error: Exception | None = None
        self.evaluations, self.seconds = 0, Seconds()
        self.request: Any = None
        self.begin: Tensor | None = None
        self.run = self._run(model, device, around)
        self.answer(None)

    @torch.no_grad()
    def answer(self, reply: Reply | None) -> None:
        """Go on to the next request or the end."""
        try:
            self.request = self.run.send(reply)  # type: ignore[arg-type]
            self.evaluations += self.rows
        except StopIteration as stop:
            self.ended, self.x = True, stop.value
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        self.ended, self.x, self.error = True, None, error

    @property
    def rows(self) -> int:
        """Of the network that its request asks for."""
        x, _, by_branch = self.request
        return len(x) * cost(by_branch)

    @property
    def starting(self) -> bool:
        """Whether it asks about its starting noise itself, as all cells that start there do."""
        return self.request[0] is self.begin

    def _run(self, model: Model, device: str, around: Callable[[Run], Run]) -> Generator[Request, Reply, Tensor]:
        path = levels(self.cell, model)
        sampler, guidance = build("sampler", self.cell.sampler), build("guidance", self.cell.guidance)
        source = BrownianNoise if self.cell.noise else SeededNoise
        noise = source([sample.seed for sample in self.samples], model.shape, device)
        unit, first = noise.initial(), path.levels[0]
        self.begin = model.begin(unit, first) if isinstance(model, Starting) else unit * first.norm
        run = around(start(sampler, self.begin, path, noise))
        texts = texts_of([sample.prompt for sample in self.samples], self.cell.negative, self.cell.texts)
        seeds = [sample.seed for sample in self.samples]
        return (yield from _conditioned(guide(run, guidance, sampler.needs), model, texts, seeds))


def _conditioned(
    run: Generator[Any, Any, Tensor], model: Model, texts: Texts, seeds: Sequence[int]
) -> Generator[Request, Any, Tensor]:
    """Turn the branches that a run asks for into conditions, each encoded once."""
    conditions: dict[Branch, Condition] = {}
    reply = None
    while True:
        try:
            x, level, branches = run.send(reply)
        except StopIteration as stop:
            return stop.value
        for branch in branches:
            if branch not in conditions:
                conditions[branch] = condition(model, branch, texts, seeds)
        reply = yield x, level, {branch: conditions[branch] for branch in branches}

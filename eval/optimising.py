"""``sigmabench optimise``: the best levels for a model, found along its own trajectories and tried on other images."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..plugins.registry import build, describe
from ..samplers.level import Level
from ..samplers.noise import SeededNoise
from ..samplers.path import Path
from ..samplers.perturbation import Branch, conditions_of
from ..samplers.protocols import Denoiser, Guidance
from ..samplers.run import guide, lockstep, sample
from ..samplers.spacings import Tabulated
from ..samplers.spacings.optimise import Reference, gits, optimal_steps, reference, table
from .branches import Texts, answering, condition, named, needed, texts_of
from .errors import UsageError
from .models import Models
from .protocols import Condition, Model
from .sweep import Sweep

METHODS = ("gits", "optimal_steps")
USUAL = ("trailing", "karras", "kl_optimal")
SIGMA_MAX = 80.0  # the first finite level of fine paths where the schedule ends at alpha = 0


@dataclasses.dataclass(frozen=True)
class Found:
    """Levels for a number of steps, and how far Euler's method ends from the reference by them and by usual ones.

    Errors are root mean squares over images that the levels were not found on, relative to the standard deviation of
    the reference's ends.
    """

    steps: int
    spacing: str
    error: float
    usual: dict[str, float]


def optimise(sweep: Sweep, method: str, fine: int) -> Iterator[Found]:
    """Search on the sweep's images with its first model and guidance, for each number of steps.

    Raises:
        UsageError: for a method or a number that cannot be, and for a model or a guidance that cannot be used.
    """
    if method not in METHODS:
        raise UsageError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    if fine <= max(sweep.steps):
        raise UsageError(f"fine = {fine}: must be more than steps = {max(sweep.steps)}, at best 50 to 100")
    models = Models(sweep.model_copy(update={"models": sweep.models[:1]}))
    prompts = models.prompts()
    model = models.ready(sweep.models[0], prompts)
    try:
        path = Path(_fine_levels(model, fine))
        seen, unseen = (_walk(sweep, model, prompts, path, start, models.device) for start in (0, sweep.images))
    except ValueError as error:
        raise UsageError(f"model {sweep.models[0]}: {error}") from error
    for steps in sweep.steps:
        levels = gits(seen[1], steps) if method == "gits" else optimal_steps(*seen, steps)
        spacing = Tabulated(tuple(float(f"{sigma:.5g}") for sigma in table(levels)))
        usual = {name: _error(*unseen, _usual(name, model)(model.schedule, steps)) for name in USUAL}
        yield Found(steps, describe("spacing", spacing), _error(*unseen, spacing(model.schedule, steps)), usual)


def _walk(
    sweep: Sweep, model: Model, prompts: list[str], path: Path, start: int, device: str
) -> tuple[Denoiser, Reference]:
    """The guided model for the images from ``start`` on, and their way along the fine path."""
    guidance = build("guidance", sweep.guided()[0])
    places = range(start, start + sweep.images)
    texts = texts_of([prompts[i % len(prompts)] for i in places], sweep.negative, named(sweep.texts))
    missing = conditions_of(needed(guidance, path)) - texts.keys()
    if missing:
        raise ValueError(f"{sweep.guided()[0]} needs a text for {', '.join(sorted(missing))}")
    seeds = [sweep.seed + i for i in places]
    denoise = _guided(model, guidance, texts, seeds)
    noise = SeededNoise(seeds, model.shape, device).initial()
    return denoise, reference(denoise, noise * path.levels[0].norm, path.levels)


def _guided(model: Model, guidance: Guidance, texts: Texts, seeds: Sequence[int]) -> Denoiser:
    """The guided prediction of x0 as one call, rows in the order of the texts; guidance starts afresh in each."""
    conditions: dict[Branch, Condition] = {}

    def ask(x: Tensor, level: Level) -> Generator[Any, Any, Tensor]:
        _, x0 = yield x, level
        return x0

    def predict(x: Tensor, level: Level, branch: Branch) -> Tensor:
        if branch not in conditions:
            conditions[branch] = condition(model, branch, texts, seeds)
        return answering(model, branch).denoise(x, [level] * len(x), conditions[branch]).to(x.dtype)

    def evaluate(requests: Sequence[Any]) -> list[Any]:
        return [(x, {branch: predict(x, level, branch) for branch in branches}) for x, level, branches in requests]

    return lambda x, level: lockstep([guide(ask(x, level), guidance)], evaluate)[0]


def _fine_levels(model: Model, fine: int) -> list[Level]:
    return _usual("exponential", model)(model.schedule, fine)


def _usual(name: str, model: Model) -> Any:
    """A spacing by name, told the first finite level where it has to be."""
    spacing = build("spacing", name)
    needs_end = not model.schedule.level(1.0).alpha and name in ("karras", "exponential")
    return dataclasses.replace(spacing, sigma_max=SIGMA_MAX) if needs_end else spacing


def _error(denoise: Denoiser, teacher: Reference, levels: list[Level]) -> float:
    end, expected = sample(build("sampler", "euler"), denoise, teacher.states[0], levels), teacher.states[-1]
    return _relative(end, expected)


def _relative(x: Tensor, expected: Tensor) -> float:
    return float(torch.linalg.vector_norm(x - expected) / torch.linalg.vector_norm(expected - expected.mean()))

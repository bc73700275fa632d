"""Runs made for checking: one sampler, one closed form, reproducible noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..brownian import BrownianNoise
from ..level import Level
from ..noise import no_noise
from ..path import Path
from ..protocols import Denoiser, Noise, Sampler
from ..run import start


def walk(
    sampler: Sampler,
    denoiser: Denoiser,
    x: Tensor,
    path: Path,
    noise: Noise = no_noise,
    edits: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """The end of a run, with the denoiser's x0 as the prediction of every branch the sampler needs.

    A sampler with error control has a run for each row.

    Args:
        edits: x that the host puts in place of what the sampler asked about, by number of the evaluation.
    """
    if sampler.evaluations is None and len(x) > 1:
        rows = [
            walk(sampler, denoiser, row, path, noise, {at: edit[i : i + 1] for at, edit in (edits or {}).items()})
            for i, row in enumerate(x.split(1))
        ]
        return torch.cat(rows)
    run, reply, count = start(sampler, x, path, noise), None, 0
    with torch.no_grad():
        while True:
            try:
                x, level = run.send(reply)  # type: ignore[arg-type]
            except StopIteration as stop:
                return stop.value
            x = (edits or {}).get(count, x)
            reply, count = reply_of(sampler, x, denoiser(x, level)), count + 1


def reply_of(sampler: Sampler, x: Tensor, x0: Tensor) -> tuple[Tensor, ...]:
    """What a host sends: x, x0 and, of what the sampler needs, x0 again for each branch and 1/2 for a variance."""
    return (x, x0, *(torch.full_like(x0, 0.5) if name == "variance" else x0 for name in sampler.needs))


class Watched:
    """A denoiser that remembers what it was asked and what it answered."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.asked: list[Tensor] = []
        self.levels: list[Level] = []
        self.answers: list[Tensor] = []

    def __call__(self, x: Tensor, level: Level | Sequence[Level]) -> Tensor:
        assert isinstance(level, Level), "a run asks about one level"
        self.asked.append(x)
        self.levels.append(level)
        self.answers.append(self.denoiser(x, level))
        return self.answers[-1]


def normal_quantiles(count: int) -> Tensor:
    """A sample of the unit normal without randomness: its quantiles at (i + 1/2) / count."""
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def noise_for(sampler: Sampler, x: Tensor) -> Noise:
    """The same noise for every run of a batch of this shape; none for a deterministic sampler."""
    if not sampler.stochastic:
        return no_noise
    return BrownianNoise(range(len(x)), x.shape[1:], dtype=torch.promote_types(x.dtype, torch.float32))


def distance(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the size of b, at least 1; nan if one is not finite."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1.0)).item()


def label(plugin: object) -> str:
    """The plugin's class and what differs from its defaults: ``DDIM(eta=0.5)``."""
    if not dataclasses.is_dataclass(plugin):
        return type(plugin).__name__
    fields = [field for field in dataclasses.fields(plugin) if field.default is not dataclasses.MISSING]
    values = ((field, getattr(plugin, field.name)) for field in fields)
    changed = ", ".join(f"{field.name}={value}" for field, value in values if value != field.default)
    return type(plugin).__name__ + (f"({changed})" if changed else "")


def require(condition: bool, plugin: object, message: str) -> None:
    """Raise AssertionError with the plugin's label before the message unless the condition holds."""
    if not condition:
        raise AssertionError(f"{label(plugin)}: {message}")

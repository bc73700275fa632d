"""The engine: many runs in lockstep, every round of requests answered by one call of the network.

A job is some images of one cell. Jobs of different cells, with different levels, branches and scales, share the call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..plugins.registry import build
from ..samplers.level import Level
from ..samplers.noise import SeededNoise
from ..samplers.run import guide, lockstep, start
from .cells import Cell, levels
from .protocols import Condition, Model, Sample

Request = tuple[Tensor, Level, Mapping[str, Condition]]
UNCONDITIONAL = ""


@dataclasses.dataclass(frozen=True)
class Job:
    """Some images of one cell."""

    cell: Cell
    samples: Sequence[Sample]


def generate(model: Model, jobs: Sequence[Job], device: str = "cpu") -> list[Tensor]:
    """Clean x of every job, (B, *shape) each.

    A run starts from unit noise times the norm of its first level, as in diffusers and ComfyUI.

    Raises:
        FloatingPointError: if an image is not finite, naming the sampler and the number of images.
    """
    results = lockstep([_run(model, job, device) for job in jobs], lambda requests: _answer(model, requests))
    for job, x in zip(jobs, results, strict=True):
        bad = int((~x.isfinite()).flatten(1).any(1).sum())
        if bad:
            raise FloatingPointError(f"{bad} of {len(x)} images are not finite: {job.cell.sampler} diverged")
    return results


def _run(model: Model, job: Job, device: str) -> Generator[Request, Any, Tensor]:
    path = levels(job.cell, model)
    sampler, guidance = build("sampler", job.cell.sampler), build("guidance", job.cell.guidance)
    noise = SeededNoise([sample.seed for sample in job.samples], model.shape, device)
    run = start(sampler, noise.initial() * path.levels[0].norm, path, noise)
    texts = {"cond": [sample.prompt for sample in job.samples], "uncond": [UNCONDITIONAL] * len(job.samples)}
    return _conditioned(guide(run, guidance, sampler.needs), model, texts)


def _conditioned(
    run: Generator[Any, Any, Tensor], model: Model, texts: Mapping[str, Sequence[str]]
) -> Generator[Request, Any, Tensor]:
    """Turn the branch names that a run asks for into conditions, each encoded once."""
    conditions: dict[str, Condition] = {}
    reply = None
    while True:
        try:
            x, level, branches = run.send(reply)
        except StopIteration as stop:
            return stop.value
        for branch in branches:
            if branch not in conditions:
                conditions[branch] = model.encode(texts[branch])
        reply = yield x, level, {branch: conditions[branch] for branch in branches}


def _answer(model: Model, requests: Sequence[Request]) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Evaluate all branches of all requests in one call and hand each run its own predictions."""
    calls = [(x, level, condition) for x, level, by_branch in requests for condition in by_branch.values()]
    x = torch.cat([x for x, _, _ in calls])
    rows = [level for x, level, _ in calls for _ in range(len(x))]
    condition = {name: torch.cat([c[name] for _, _, c in calls]) for name in calls[0][2]}
    parts = iter(model.denoise(x, rows, condition).to(x.dtype).split([len(x) for x, _, _ in calls]))
    return [(x, {branch: next(parts) for branch in by_branch}) for x, _, by_branch in requests]


@contextmanager
def counted(network: nn.Module) -> Iterator[list[int]]:
    """Rows of every call of the network while the context is open: the truth about evaluations."""
    rows: list[int] = []

    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.ndim)
        rows.append(len(next(tensors)))

    handle = network.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()

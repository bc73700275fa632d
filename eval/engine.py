"""The engine: many runs in lockstep, every round of requests answered by one call of the network.

A job is some images of one cell. Jobs of different cells, with different levels, branches and scales, share the call;
predictions of a changed network take a call for each change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..plugins.registry import build
from ..samplers.level import Level
from ..samplers.noise import SeededNoise
from ..samplers.perturbation import Branch, Perturbed
from ..samplers.protocols import Predictions
from ..samplers.run import guide, lockstep, start
from .branches import Texts, answering, condition
from .cells import Cell, levels
from .protocols import Condition, Model, Sample

Request = tuple[Tensor, Level, Mapping[Branch, Condition]]
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
    parts = [_parts(job) for job in jobs]
    runs = [_run(model, part, device) for job in parts for part in job]
    ends = iter(lockstep(runs, lambda requests: _answer(model, requests)))
    results = [torch.cat([next(ends) for _ in job]) for job in parts]
    for job, x in zip(jobs, results, strict=True):
        bad = int((~x.isfinite()).flatten(1).any(1).sum())
        if bad:
            raise FloatingPointError(f"{bad} of {len(x)} images are not finite: {job.cell.sampler} diverged")
    return results


def _parts(job: Job) -> list[Job]:
    """The job, or one for each image where error control decides how an image steps."""
    if build("sampler", job.cell.sampler).evaluations is not None:
        return [job]
    return [Job(job.cell, [sample]) for sample in job.samples]


def _run(model: Model, job: Job, device: str) -> Generator[Request, Any, Tensor]:
    path = levels(job.cell, model)
    sampler, guidance = build("sampler", job.cell.sampler), build("guidance", job.cell.guidance)
    noise = SeededNoise([sample.seed for sample in job.samples], model.shape, device)
    run = start(sampler, noise.initial() * path.levels[0].norm, path, noise)
    texts = {
        "cond": [sample.prompt for sample in job.samples],
        "uncond": [UNCONDITIONAL] * len(job.samples),
        **({"negative": [job.cell.negative] * len(job.samples)} if job.cell.negative else {}),
    }
    return _conditioned(guide(run, guidance, sampler.needs), model, texts)


def _conditioned(run: Generator[Any, Any, Tensor], model: Model, texts: Texts) -> Generator[Request, Any, Tensor]:
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
                conditions[branch] = condition(model, branch, texts)
        reply = yield x, level, {branch: conditions[branch] for branch in branches}


def _answer(model: Model, requests: Sequence[Request]) -> list[tuple[Tensor, Predictions]]:
    """Evaluate all branches of all requests and hand each run its own predictions: one call for each change."""
    answers: list[tuple[Tensor, dict[Branch, Tensor]]] = [(x, {}) for x, _, _ in requests]
    asked: dict[Any, list[tuple[int, Branch]]] = {}
    for i, (_, _, by_branch) in enumerate(requests):
        for branch in by_branch:
            asked.setdefault(branch.change if isinstance(branch, Perturbed) else None, []).append((i, branch))
    for places in asked.values():
        parts = _call(answering(model, places[0][1]), [(*requests[i][:2], requests[i][2][b]) for i, b in places])
        for (i, branch), part in zip(places, parts, strict=True):
            answers[i][1][branch] = part
    return [(x, predictions) for x, predictions in answers]


def _call(model: Model, calls: Sequence[tuple[Tensor, Level, Condition]]) -> Sequence[Tensor]:
    """One call of the network for all of these, and each one's part of the answer."""
    x = torch.cat([x for x, _, _ in calls])
    rows = [level for x, level, _ in calls for _ in range(len(x))]
    conditions = {name: torch.cat([own[name] for _, _, own in calls]) for name in calls[0][2]}
    return model.denoise(x, rows, conditions).to(x.dtype).split([len(x) for x, _, _ in calls])


@contextmanager
def counted(*networks: nn.Module) -> Iterator[list[int]]:
    """Rows of every finished call of the networks while the context is open: the truth about evaluations.

    A pipeline that is only watched on its way to its network is stopped before the call.
    """
    rows: list[int] = []

    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.ndim)
        rows.append(len(next(tensors)))

    with ExitStack() as stack:
        for network in networks:
            stack.callback(network.register_forward_hook(count, with_kwargs=True).remove)
        yield rows

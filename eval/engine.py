"""The engine: many runs at once, every round of their requests answered by as few calls of the network as possible.

A job is some images of one cell. Jobs of different cells, with different levels, branches and scales, share a call;
predictions of a changed network take a call for each change. As a job ends the next one takes its place.

All cells of a model begin with the same noise, so what they ask first is the same: the prediction for the starting
noise of some images, at one level and of one branch, is computed once, in a call of its own, for every cell.

Nothing is read of the device but by samplers with error control: what a job ends with lies there, and so do whether
its images are finite and how long they took. So the host is ahead of a GPU, which need not wait for it.

In a call of another size a network rounds otherwise. Images of cells in company are those of cells alone within 1e-4
of the largest element in float32, hence within one step of 255; where a judge's gradient leads, within 1e-2.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..plugins.registry import build
from ..samplers.level import Level
from ..samplers.perturbation import Branch, Perturbed
from .branches import answering
from .clock import Seconds, Span
from .jobs import Done, Job, Live, Reply, Request, Walk
from .padding import Asked, filled
from .protocols import Counting, Drawing, Model

Evaluate = Callable[[Sequence[Request]], Sequence[Reply]]

STARTS = 16  # predictions for starting noises that are kept


def generate(model: Model, jobs: Sequence[Job], device: str = "cpu") -> list[Tensor]:
    """Clean x of every job, in their order, all at once.

    Raises:
        Exception: what ended a job, such as FloatingPointError for an image that is not finite.
    """
    ended = {id(done.job): done for done in produce(model, jobs, device, rows=sum(len(job.samples) for job in jobs))}
    for done in ended.values():
        if error := done.failure():
            raise error
    return [ended[id(job)].x for job in jobs]  # type: ignore[misc]


def produce(model: Model, jobs: Iterable[Job], device: str = "cpu", rows: int = 1, unit: int = 1) -> Iterator[Done]:
    """Every job's images as it ends; an error ends its own job alone.

    A run starts from unit noise times the norm of its first level, as in diffusers and ComfyUI.

    Args:
        rows: jobs are begun until so many images are at work; 1 is one job after the other, whose images are then the
            same to the last bit whatever other jobs there are.
        unit: calls are filled up to multiples of so many rows, for networks that are executed by fixed sizes.
    """
    if isinstance(model, Drawing):
        yield from (_drawn(model, job) for job in jobs)
        return
    evaluate = partial(predict, model, unit=unit)
    waiting, live, starts = iter(jobs), list[Live](), _Starts(evaluate)
    while True:
        while sum(len(one.job.samples) for one in live) < rows and (job := next(waiting, None)) is not None:
            live.append(Live(model, job, device))
        if not live:
            return
        _round(evaluate, [walk for one in live for walk in one.walks if not walk.ended], starts)
        for one in [one for one in live if one.ended]:
            live.remove(one)
            yield one.done()


def _drawn(model: Drawing, job: Job) -> Done:
    """A job done elsewhere."""
    span, seconds = Span("cpu"), Seconds()
    try:
        x = model.draw(job.cell, job.samples)
    except Exception as error:
        return Done(job, None, None, error, 0, seconds)
    seconds.add(span.end())
    return Done(job, x, None, None, _declared(model, job), seconds)


def _declared(model: Drawing, job: Job) -> int:
    """Evaluations as the model counts them, else as the sampler and the guidance declare them."""
    if isinstance(model, Counting):
        return len(job.samples) * model.evaluations(job.cell)
    sampler, guidance = build("sampler", job.cell.sampler), build("guidance", job.cell.guidance)
    return len(job.samples) * job.cell.steps * (sampler.evaluations or 1) * len(guidance.branches(Level(1.0, 1.0)))


class _Starts:
    """Predictions for starting noises, by images, level and branch; the oldest are forgotten."""

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate = evaluate
        self.kept: OrderedDict[Any, tuple[Tensor, Span]] = OrderedDict()

    def answer(self, one: Walk, requests: Sequence[Request]) -> list[Reply]:
        ((x, level, by_branch),) = requests
        predictions = {}
        for branch, own in by_branch.items():
            key = tuple(one.samples), one.cell.negative, one.cell.texts, level, branch
            if key not in self.kept:
                span = Span(one.device)
                ((_, answer),) = self.evaluate([(x, level, {branch: own})])
                self.kept[key] = answer[branch], span.end()
            self.kept.move_to_end(key)
            predictions[branch], span = self.kept[key]
            one.seconds.add(span)
        while len(self.kept) > STARTS:
            self.kept.popitem(last=False)
        return [(x, predictions)]


def _round(evaluate: Evaluate, walks: Sequence[Walk], starts: _Starts) -> None:
    """Answer what every walk asks."""
    starting, others = [one for one in walks if one.starting], [one for one in walks if not one.starting]
    for one in starting:
        _answer([one], partial(starts.answer, one))
    if not others:
        return
    asked, span = [one.rows for one in others], Span(others[0].device)
    _answer(others, evaluate)
    span.end()
    for one, rows in zip(others, asked, strict=True):
        one.seconds.add(span, rows / sum(asked))


@torch.no_grad()
def _answer(walks: Sequence[Walk], evaluate: Evaluate) -> None:
    """Let each go on with its reply. Where the call for all fails, each is asked for alone, so that one fails alone."""
    try:
        replies = evaluate([one.request for one in walks])
    except Exception as error:
        if len(walks) == 1:
            walks[0].fail(error)
            return
        for one in walks:
            _answer([one], evaluate)
        return
    for one, reply in zip(walks, replies, strict=True):
        one.answer(reply)


def predict(model: Model, requests: Sequence[Request], unit: int = 1) -> list[Reply]:
    """Evaluate all branches of all requests and hand each run its own predictions: one call for each change."""
    answers: list[tuple[Tensor, dict[Branch, Tensor]]] = [(x, {}) for x, _, _ in requests]
    asked: dict[Any, list[tuple[int, Branch]]] = {}
    for i, (_, _, by_branch) in enumerate(requests):
        for branch in by_branch:
            asked.setdefault(branch.change if isinstance(branch, Perturbed) else None, []).append((i, branch))
    for places in asked.values():
        asking = [(*requests[i][:2], requests[i][2][b]) for i, b in places]
        parts = _call(answering(model, places[0][1]), filled(asking, unit))[: len(places)]
        for (i, branch), part in zip(places, parts, strict=True):
            answers[i][1][branch] = part
    return [(x, predictions) for x, predictions in answers]


def _call(model: Model, calls: Sequence[Asked]) -> Sequence[Tensor]:
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

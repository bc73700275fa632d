"""Seconds of a round of the engine: a request answered, and the sampler led on to its next one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, cycle, islice

import torch
from torch import Tensor

from ...samplers.perturbation import Branch
from ..cells import Cell, samples
from ..engine import predict
from ..jobs import Reply, Walk
from ..protocols import Model
from ..runner import Runner
from .counting import Branches, Counted, closed_form
from .measuring import MOST, Clock, Spread, repeated, timed

VARIED = 3
"""Cells, from the fewest evaluations to the most, on whose ways rounds of a kind are timed."""


def rounds(
    runner: Runner, model: Model, cells: Sequence[Cell], counted: Mapping[str, Counted], batch: int, clock: Clock
) -> dict[Branches, Spread]:
    """Of one batch, for every kind of request that the cells make: the branches that it asks for."""
    ordered = sorted(cells, key=lambda cell: counted[cell.key].evaluations)
    others = dict.fromkeys(chain.from_iterable(counted[cell.key].others for cell in ordered))
    found = {}
    for kind in others:
        having = [cell for cell in ordered if kind in counted[cell.key].others]
        varied = [having[i * (len(having) - 1) // (VARIED - 1)] for i in range(VARIED)]
        found[kind] = repeated(_on_the_way(runner, model, varied, kind, batch, clock))
    for cell in ordered:
        for branch in counted[cell.key].first[1]:
            if (branch,) not in found:
                answer = partial(first_answer, runner, model, cell, branch, batch)
                found[branch,] = repeated(answer(clock)[1] for _ in range(MOST + 1))
    return found


@torch.no_grad()
def first_answer(
    runner: Runner, model: Model, cell: Cell, branch: Branch, batch: int, clock: Clock = time.perf_counter
) -> tuple[Tensor, float]:
    """The prediction of this branch for the starting noise of a batch, and the seconds of its call."""
    x, level, conditions = _walk(runner, model, cell, 0, batch).request
    found: list[Reply] = []
    ask = partial(predict, model, [(x, level, {branch: conditions[branch]})])
    seconds = timed(lambda: found.extend(ask()), runner.device, clock)
    return found[0][1][branch], seconds


def _on_the_way(
    runner: Runner, model: Model, cells: Sequence[Cell], kind: Branches, batch: int, clock: Clock
) -> Iterator[float]:
    """Seconds of rounds of this kind where the cells come to them; other rounds are answered without the network."""
    together = 1 if runner.device == "cpu" else 2  # as many as the engine keeps at work
    for cell in islice(cycle(dict.fromkeys(cells)), MOST):
        walks = [_walk(runner, model, cell, i * batch, (i + 1) * batch) for i in range(together)]
        while not walks[0].ended:
            if tuple(walks[0].request[2]) == kind and not walks[0].starting:
                yield timed(partial(_round, model, walks), runner.device, clock) / together
                continue
            for walk in walks:
                x, level, conditions = walk.request
                walk.answer((x, {branch: closed_form(branch, x, level) for branch in conditions}))


@torch.no_grad()
def _round(model: Model, walks: Sequence[Walk]) -> None:
    replies = predict(model, [walk.request for walk in walks])
    for walk, reply in zip(walks, replies, strict=True):
        walk.answer(reply)


def _walk(runner: Runner, model: Model, cell: Cell, start: int, stop: int) -> Walk:
    return Walk(model, cell, samples(runner.sweep, runner.plan.prompts, start, stop), runner.device)

"""A model's walks from noise to image, seen from inside: x and the predicted x0 at every evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...samplers.level import Level
from ...samplers.protocols import Run
from ..cells import Cell
from ..engine import predict
from ..jobs import Walk, diverged, finite_rows
from ..protocols import Model, Sample


class Frame(NamedTuple):
    """One evaluation: x (1, *shape) as the sampler asked about it, and the guided prediction of x0 it was told."""

    level: Level
    x: Tensor
    x0: Tensor


class Watched(NamedTuple):
    """A walk that has ended: its evaluations in order and the clean x, or why there is none."""

    cell: Cell
    frames: list[Frame]
    x: Tensor | None
    error: str


def walk(model: Model, cells: Sequence[Cell], sample: Sample, device: str) -> list[Watched]:
    """Walk one image of every cell, all together, from the same noise."""
    seen: list[list[Frame]] = [[] for _ in cells]

    def start(cell: Cell, frames: list[Frame]) -> Walk:
        return Walk(model, cell, [sample], device, around=lambda run: _watched(run, frames))

    walks = [start(cell, frames) for cell, frames in zip(cells, seen, strict=True)]
    with torch.no_grad():
        while live := [one for one in walks if not one.ended]:
            for one, reply in zip(live, predict(model, [one.request for one in live]), strict=True):
                one.answer(reply)
    return [_ended(one, frames) for one, frames in zip(walks, seen, strict=True)]


def _ended(walk: Walk, frames: list[Frame]) -> Watched:
    error = walk.error or (None if walk.x is None else diverged(walk.cell, finite_rows(walk.x)))
    return Watched(walk.cell, frames, None if error else walk.x, str(error or ""))


def _watched(run: Run, frames: list[Frame]) -> Run:
    """The same run, what it asks and is told kept in ``frames``."""
    reply: Any = None
    while True:
        try:
            x, level = run.send(reply)
        except StopIteration as stop:
            return stop.value
        reply = yield x, level
        frames.append(Frame(level, x, reply[1]))


def noised(x0: Tensor, noise: Tensor, levels: Sequence[Level]) -> list[Tensor]:
    """The forward process: alpha * x0 + sigma * noise at every level, for one noise."""
    return [level.alpha * x0 + level.sigma * noise for level in levels]

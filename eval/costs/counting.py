"""The evaluations of a cell, counted by walking it without its network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers.level import Level
from ...samplers.noise import SeededNoise
from ...samplers.perturbation import AttendedRegions, Branch, Judged, Perturbed, WatchedAttention
from ...samplers.run import guide, start
from ..branches import cost
from ..cells import Cell, levels
from ..protocols import Counting, Drawing, Model, Starting

Branches = tuple[Branch, ...]


class Counted(NamedTuple):
    """What one image of a cell asks: its first request, and all others by the branches asked for together."""

    first: tuple[Level, Branches]
    others: Counter[Branches]

    @property
    def kinds(self) -> Iterator[Branches]:
        """What its calls are for; the engine answers the branches of a first request one by one."""
        yield from ((branch,) for branch in self.first[1])
        yield from self.others

    @property
    def evaluations(self) -> int:
        """Of the network, for one image, the first included."""
        return cost(self.first[1]) + sum(cost(branches) * times for branches, times in self.others.items())


def count(cell: Cell, model: Model) -> Counted:
    """Walk the cell with the exact prediction for unit normal data, x0 = alpha x / (alpha^2 + sigma^2).

    Exact for every method whose steps are the path's. Under error control the data decide the steps: the count is that
    of normal data, a lower bound in practice.
    """
    if isinstance(model, Counting):
        return Counted((Level(0.0, 1.0), ()), Counter({("cond",): model.evaluations(cell)}))
    if isinstance(model, Drawing):
        sampler, guidance = build("sampler", cell.sampler), build("guidance", cell.guidance)
        asked = tuple(guidance.branches(Level(1.0, 1.0)))
        return Counted((Level(0.0, 1.0), asked), Counter({asked: cell.steps * (sampler.evaluations or 1) - 1}))
    requests = _requests(cell, model)
    (level, branches), *others = requests
    return Counted((level, branches), Counter(asked for _, asked in others))


@torch.no_grad()
def _requests(cell: Cell, model: Model) -> list[tuple[Level, Branches]]:
    path = levels(cell, model)
    sampler, guidance = build("sampler", cell.sampler), build("guidance", cell.guidance)
    noise = SeededNoise([0], model.shape)
    unit, first = noise.initial(), path.levels[0]
    x = model.begin(unit, first) if isinstance(model, Starting) else unit * first.norm
    run = guide(start(sampler, x.cpu(), path, noise), guidance, sampler.needs)
    found: list[tuple[Level, Branches]] = []
    reply: Any = None
    while True:
        try:
            x, level, branches = run.send(reply)
        except StopIteration:
            return found
        found.append((level, tuple(branches)))
        reply = x, {branch: closed_form(branch, x, level) for branch in branches}


def closed_form(branch: Branch, x: Tensor, level: Level) -> Tensor:
    """The prediction for unit normal data, of as many channels as a model answers with."""
    x0 = x * (level.alpha / level.norm**2)
    change = branch.change if isinstance(branch, Perturbed) else None
    more = {WatchedAttention: x0[:, :1], AttendedRegions: x0[:, :2] * 0.0, Judged: x0 * 0.0}.get(type(change))
    return x0 if more is None else torch.cat([x0, more], 1)

"""Seconds beside the predictions: of an image once it is there, and of the report."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cells import Cell, Planned
from ..images import PREVIEW
from ..protocols import Drawing, Model, Sample
from ..publish import publish
from ..references import of_all
from ..runner import Runner
from ..store import Store
from .measuring import Clock, Spread, repeated, timed

LOOKS, REPORTS = 9, 4
REPORTED = 2500
"""Images of a trial report at most: more than features have numbers, beyond which its time hardly grows."""


class Still:
    """A model whose images are there already: a sweep of it is all that a sweep does beside predictions."""

    def __init__(self, model: Model, x: Tensor) -> None:
        self.model, self.x = model, x

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def check(self, cell: Cell) -> None:
        """There is no cell that it refuses."""

    def draw(self, cell: Cell, samples: Sequence[Sample]) -> Tensor:
        """Each cell's own, so that cells differ as they do in a sweep."""
        noise = torch.randn(self.x.shape, generator=torch.Generator().manual_seed(int(cell.key[:8], 16)))
        return (self.x + 0.1 * noise.to(self.x))[: len(samples)]


class Beside(NamedTuple):
    """Seconds of one image, of a report whatever its size, and of one cell more in it."""

    image: Spread
    page: Spread
    cell: Spread


def beside(runner: Runner, model: Drawing, cells: Sequence[Planned], batch: int, clock: Clock) -> Beside:
    """Look at a batch of images of each of these cells, again and again, and report what was seen.

    Args:
        model: one whose images are there already; of another one drawing is part of an image, and done once.
    """
    repeats = LOOKS if isinstance(model, Still) else 1
    made = batch * len([*cells, *of_all(cells, runner.observers)])
    with tempfile.TemporaryDirectory() as parent:
        folders = [Path(parent, str(i)) for i in range(repeats)]
        looked = repeated(_looked(runner, model, cells, batch, clock, folder) for folder in folders)
        page, cell = _reported(runner, cells, batch, clock, folders[0])
    return Beside(Spread(*(seconds / made for seconds in looked)), page, cell)


def _looked(runner: Runner, model: Drawing, cells: Sequence[Planned], batch: int, clock: Clock, folder: Path) -> float:
    elsewhere = runner.elsewhere(folder)
    elsewhere.prepared = copy.copy(runner.prepared)
    elsewhere.prepared.load = lambda backend: model  # type: ignore[assignment]
    return timed(partial(elsewhere.extend, cells, batch, lambda images, cell: None), runner.device, clock)


def _reported(
    runner: Runner, cells: Sequence[Planned], batch: int, clock: Clock, folder: Path
) -> tuple[Spread, Spread]:
    images = max(batch, min(runner.sweep.images, REPORTED))
    _fill(Store(folder), cells, batch, images)
    sweep = runner.sweep.model_copy(update={"images": images})
    plans = [dataclasses.replace(runner.plan, sweep=sweep, cells=list(cells[:n])) for n in (1, len(cells))]
    one, all_ = (
        repeated(timed(partial(publish, plan, folder), runner.device, clock) for _ in range(REPORTS)) for plan in plans
    )
    more = Spread(*(max(b - a, 0.0) / max(len(cells) - 1, 1) for a, b in zip(one, all_, strict=True)))
    return Spread(*(max(a - each, 0.0) for a, each in zip(one, more, strict=True))), more


def _fill(store: Store, cells: Sequence[Planned], have: int, images: int) -> None:
    """Observations of the images that are there, again and again, up to so many."""
    for planned in cells if images > have else ():
        observed, rows = store.observations(planned.cell, have), np.arange(have, images) % have
        shards = list(observed)
        names = shards[0].keys() - {PREVIEW}
        more = {name: np.concatenate([shard[name] for shard in shards])[rows] for name in names}
        store.put(planned.cell, have, more, observed.metadata()[0])

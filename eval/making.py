"""Making shards: claimed, generated batch by batch, observed, and published whole.

Cells are made side by side, the first images of all of them before the next images of any: so the cells share what they
ask first, and a run that is stopped has numbers of the same images for all.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from .cells import Cell, Planned
from .claims import Claims
from .engine import produce
from .images import PREVIEW, PREVIEWS, preview, write_images
from .jobs import Done, Job
from .protocols import Model, Observations, Sample
from .provenance import device_name, versions
from .references import is_state, observe
from .store import Store
from .sweep import Sweep

Progress = Callable[[int, Cell], None]
"""Called with the number of images that are newly done and their cell."""


@dataclasses.dataclass
class Outcome:
    """What a run did: images made and images that were there already, and the reasons of cells that failed."""

    made: int = 0
    kept: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Shard:
    """Images start ... stop - 1 of a cell, claimed and on their way."""

    cell: Cell
    start: int
    stop: int
    parts: dict[int, Observations] = dataclasses.field(default_factory=dict)
    batches: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    evaluations: int = 0
    closed: bool = False

    @property
    def name(self) -> str:
        return f"{self.cell.key}-{self.start:07d}-{self.stop:07d}"

    @property
    def complete(self) -> bool:
        return sum(images for images, _ in self.batches) == self.stop - self.start

    def observations(self) -> Observations:
        """Of all batches, in order of images."""
        parts = [self.parts[start] for start in sorted(self.parts)]
        return {name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]}


class Maker:
    """Makes what one model's cells lack, as far as this process can claim it."""

    def __init__(
        self, sweep: Sweep, model: Model, observers: Sequence[Any], device: str, store: Store, claims: Claims
    ) -> None:
        self.sweep, self.model, self.observers, self.device = sweep, model, observers, device
        self.store, self.claims = store, claims
        self.names = frozenset(observer.name for observer in observers)
        self.shards: dict[int, Shard] = {}  # by identity of their jobs

    def make(
        self, todo: Sequence[tuple[Planned, int, int]], draw: Callable[[int, int], list[Sample]],
        outcome: Outcome, progress: Progress,
    ) -> None:  # fmt: skip
        """Make these shards, those that others have claimed or published excepted.

        Args:
            draw: the samples of images start ... stop - 1.
        """
        rows = 1 if self.device == "cpu" else 2 * self.sweep.batch_size
        for done in produce(self.model, self._jobs(todo, draw, outcome), self.device, rows):
            shard = self.shards.pop(id(done.job))
            if shard.closed:
                continue
            try:
                self._take(shard, done)
                progress(len(done.job.samples), shard.cell)
                if shard.complete:
                    self._publish(shard)
                    outcome.made += shard.stop - shard.start
            except Exception as error:
                self._give_up(shard, error, outcome)

    def _jobs(
        self, todo: Sequence[tuple[Planned, int, int]], draw: Callable[[int, int], list[Sample]], outcome: Outcome
    ) -> Iterator[Job]:
        for planned, start, stop in sorted(todo, key=lambda work: work[1:]):
            shard = Shard(planned.cell, start, stop)
            if planned.cell.key in outcome.failed or self.store.failure(planned.cell):
                continue
            if not self.claims.take(shard.name):
                continue
            if self.store.has(shard.cell, start, stop, self.names):  # published before the claim was ours
                self.claims.release(shard.name)
                continue
            for first in range(start, stop, self.sweep.batch_size):
                if shard.closed:
                    break
                job = Job(shard.cell, draw(first, min(first + self.sweep.batch_size, stop)))
                self.shards[id(job)] = shard
                yield job

    def _take(self, shard: Shard, done: Done) -> None:
        """Look at a batch's images with every observer."""
        if error := done.failure():
            raise error
        assert done.x is not None
        began, batch = time.perf_counter(), done.job.samples
        images = self.model.decode(done.x)
        if self.sweep.save_images:
            write_images(self.store.folder(shard.cell) / "images", list(batch), images)
        prompts = [sample.prompt for sample in batch]
        seen = {
            one.name: observe(one, done.x, self.store, shard.cell, batch)
            if is_state(one)
            else finite(one.name, one(images, prompts), batch)
            for one in self.observers
        }
        if shown := [i for i, sample in enumerate(batch) if sample.index < PREVIEWS]:
            seen[PREVIEW] = preview(images[shown])
        shard.parts[batch[0].index] = seen
        shard.batches.append((len(batch), round(float(done.seconds) + time.perf_counter() - began, 6)))
        shard.evaluations += done.evaluations

    def _publish(self, shard: Shard) -> None:
        metadata = {
            "seconds": repr(sum(seconds for _, seconds in shard.batches)),
            "batches": json.dumps(shard.batches),
            "evaluations": str(shard.evaluations),
            "device": device_name(self.device),
            **versions(),
        }
        self.store.put(shard.cell, shard.start, shard.observations(), metadata)
        self._close(shard)

    def _give_up(self, shard: Shard, error: Exception, outcome: Outcome) -> None:
        outcome.failed[shard.cell.key] = reason = f"{type(error).__name__}: {error}"
        with suppress(OSError):  # a full disk is one of the reasons
            self.store.fail(shard.cell, reason)
        self._close(shard)

    def _close(self, shard: Shard) -> None:
        shard.closed = True
        shard.parts.clear()
        self.claims.release(shard.name)


def finite(name: str, rows: np.ndarray, samples: Sequence[Sample]) -> np.ndarray:
    """What an observer has seen, unless it is no number.

    Raises:
        FloatingPointError: naming the observation and the first image.
    """
    bad = ~np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
    if bad.any():
        index = samples[int(bad.argmax())].index
        raise FloatingPointError(
            f"{name} of {int(bad.sum())} of {len(rows)} images is not finite, the first is {index}"
        )
    return rows

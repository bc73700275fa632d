"""Making shards: claimed, generated batch by batch, observed, and published whole.

Cells are made side by side, the first images of all of them before the next images of any: so the cells share what they
ask first, and a run that is stopped has numbers of the same images for all.

On a GPU nothing here waits for the device but publishing, and that for the shard before the one being made: what is
seen of a batch comes to the host by itself and is looked at a batch or more later. So the memory of the device holds a
batch's observations, and that of the host those of the shards at work and of the one before.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from .cells import Cell, Planned
from .claims import Claims
from .clock import Span
from .engine import produce
from .images import PREVIEW, PREVIEWS, preview, write_images
from .jobs import Done, Job
from .padding import unit_of
from .protocols import Model, Sample
from .readback import beside
from .references import is_state, observe
from .shards import FINITE, IMAGES, Shard, check
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


class Maker:
    """Makes what one model's cells lack, as far as this process can claim it."""

    def __init__(
        self, sweep: Sweep, model: Model, observers: Sequence[Any], device: str, store: Store, claims: Claims
    ) -> None:
        self.sweep, self.model, self.observers, self.device = sweep, model, observers, device
        self.store, self.claims, self.beside = store, claims, beside(device)
        self.names = frozenset(observer.name for observer in observers)
        self.finite = [observer.name for observer in observers if not is_state(observer)]
        self.shards: dict[int, Shard] = {}  # by identity of their jobs
        self.open: list[Shard] = []
        self.complete: deque[Shard] = deque()

    def make(
        self, todo: Sequence[tuple[Planned, int, int]], draw: Callable[[int, int], list[Sample]],
        outcome: Outcome, progress: Progress,
    ) -> None:  # fmt: skip
        """Make these shards, those that others have claimed or published excepted.

        Args:
            draw: the samples of images start ... stop - 1.
        """
        rows = 1 if self.device == "cpu" else 2 * self.sweep.batch_size
        unit = 1 if self.sweep.execution == "eager" else unit_of(rows)
        try:
            for done in produce(self.model, self._jobs(todo, draw, outcome), self.device, rows, unit):
                shard = self.shards.pop(id(done.job))
                if shard.closed:
                    continue
                try:
                    self._look(shard, done)
                    self._receive(shard)
                    progress(len(done.job.samples), shard.cell)
                    if shard.complete:
                        self.complete.append(shard)
                except Exception as error:
                    self._publish(outcome, waiting=0)  # the cell's shards before this one are kept
                    self._give_up(shard, error, outcome)
                self._publish(outcome, waiting=1)
        finally:
            self._publish(outcome, waiting=0)

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
            self.open.append(shard)
            for first in range(start, stop, self.sweep.batch_size):
                if shard.closed:
                    break
                job = Job(shard.cell, draw(first, min(first + self.sweep.batch_size, stop)))
                self.shards[id(job)] = shard
                yield job

    def _look(self, shard: Shard, done: Done) -> None:
        """Have a batch's images seen by every observer, beside the sampling of the next ones."""
        if done.error is not None or done.x is None:
            raise done.error or RuntimeError("the engine ended a job without images")
        batch = done.job.samples
        finite = {} if done.finite is None else {FINITE: done.finite}
        with self.beside.looking(done.x, *finite.values()):
            span = Span(self.device)
            images, prompts = self.model.decode(done.x), [sample.prompt for sample in batch]
            images = images.to(self.device)  # for who draws on the host
            seen: dict[str, Any] = {
                one.name: observe(one, done.x, self.store, shard.cell, batch) if is_state(one) else one(images, prompts)
                for one in self.observers
            }
            if shown := sum(sample.index < PREVIEWS for sample in batch):
                seen[PREVIEW] = preview(images[:shown])
            if self.sweep.save_images:
                seen[IMAGES] = images
            done.seconds.add(span.end())
        shard.coming.append((batch, self.beside.fetch({**seen, **finite})))
        shard.batches.append((len(batch), done.seconds))
        shard.evaluations += done.evaluations

    def _receive(self, shard: Shard, wait: bool = False) -> None:
        """Check and keep what has come to the host."""
        for batch, seen in shard.come(wait):
            check(shard.cell, batch, seen, self.finite)
            if self.sweep.save_images:
                write_images(self.store.folder(shard.cell) / "images", batch, seen[IMAGES])
            kept = {name: rows for name, rows in seen.items() if name not in (FINITE, IMAGES)}
            shard.parts[batch[0].index] = kept

    def _publish(self, outcome: Outcome, waiting: int) -> None:
        """Publish complete shards that have come; all but so many are waited for."""
        while self.complete and (len(self.complete) > waiting or self.complete[0].ready):
            shard = self.complete.popleft()
            if shard.closed:
                continue
            try:
                self._receive(shard, wait=True)
                self.store.put(
                    shard.cell, shard.start, shard.observations(), shard.metadata(self.device, self.sweep.execution)
                )
            except Exception as error:
                self._give_up(shard, error, outcome)
            else:
                self._close(shard)
                outcome.made += shard.stop - shard.start

    def _give_up(self, shard: Shard, error: Exception, outcome: Outcome) -> None:
        """The cell has failed: none of its shards at work is published."""
        if shard.closed:
            return
        outcome.failed[shard.cell.key] = reason = f"{type(error).__name__}: {error}"
        with suppress(OSError):  # a full disk is one of the reasons
            self.store.fail(shard.cell, reason)
        for one in [one for one in self.open if one.cell == shard.cell]:
            self._close(one)

    def _close(self, shard: Shard) -> None:
        shard.closed = True
        shard.coming.clear()
        shard.parts.clear()
        self.open.remove(shard)
        self.claims.release(shard.name)

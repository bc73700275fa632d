"""Running a sweep: make what the store lacks, record failures and go on.

Whatever ends a run, a later one with the same folder continues it: finished shards are kept, and an image depends
on its cell and index alone. Several runs may work on one folder at the same time: each shard is claimed first.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from .cells import Cell, Planned, samples
from .claims import Claims
from .errors import UsageError
from .making import Maker, Outcome, Progress
from .plans import load_goal, save_goal, save_plan
from .prepared import Prepared
from .references import Solution, is_state, of_all, references
from .store import Store
from .sweep import Sweep

POLL = 0.5  # seconds between two looks at shards that others are making
Gap = tuple[Planned, int, int]
"""Images start ... stop - 1 of a cell, of which no intact shard has all observations."""


class Runner:
    """A sweep on its way into a folder.

    Creating one loads the models and observers and checks all cells and prompts; nothing is written before ``run``.

    Raises:
        UsageError: for anything that the caller has to mend.
    """

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        self.sweep, self.folder = sweep, folder
        self.prepared = Prepared(sweep)
        self.plan, self.observers, self.device = self.prepared.plan, self.prepared.observers, self.prepared.device
        self.names = frozenset(observer.name for observer in self.observers)

    def elsewhere(self, folder: Path) -> Runner:
        """The same sweep with the same loaded models and observers, into another folder."""
        other = copy.copy(self)
        other.folder = folder
        return other

    def run(self, progress: Progress) -> Outcome:
        """Make every missing shard; returns instead of raising when single cells fail."""
        return self.extend(self.plan.runnable, self.sweep.images, progress)

    def extend(self, cells: Sequence[Planned], images: int, progress: Progress) -> Outcome:
        """Bring these cells to so many images; what they have is kept, and what others are making is waited for."""
        return self._work(self.begin(cells, images), cells, images, progress)

    def join(self, progress: Progress) -> Outcome:
        """Help with what another process has begun in the folder; cells that failed there are left."""
        goal = load_goal(self.folder)
        cells = [planned for planned in self.plan.runnable if planned.cell.key in goal.cells]
        return self._work(Store(self.folder), cells, goal.images, progress)

    def begin(self, cells: Sequence[Planned], images: int) -> Store:
        """Write down what is to be made, so that others can join; what failed in an earlier run is tried again."""
        store = Store(self.folder)
        store.tidy()
        try:
            save_plan(store.root, self.plan)
            save_goal(store.root, cells, images)
        except OSError as error:
            raise UsageError(f"cannot write into {store.root}: {error.strerror}; choose another --out") from error
        for planned in [*cells, *of_all(cells, self.observers)]:
            store.forgive(planned.cell)
        return store

    def have(self, store: Store, cell: Cell, images: int) -> int:
        """How many of the cell's first images are there with all observations."""
        return images - sum(stop - start for start, stop in self._missing(store, cell, images))

    def kept(self, store: Store, cells: Sequence[Planned], images: int, progress: Progress) -> int:
        """How many images need not be made; progress hears of them."""
        found = [self.have(store, planned.cell, images) for planned in cells]
        for planned, count in zip(cells, found, strict=True):
            progress(count, planned.cell)
        return sum(found)

    def _work(self, store: Store, cells: Sequence[Planned], images: int, progress: Progress) -> Outcome:
        outcome = Outcome(kept=self.kept(store, cells, images, progress))
        with Claims(store.root / "claims") as claims:
            while self._pass(store, claims, cells, images, outcome, progress):
                time.sleep(POLL)
        reasons = {planned.cell.key: store.failure(planned.cell) for planned in cells}
        outcome.failed = {**{key: reason for key, reason in reasons.items() if reason}, **outcome.failed}
        return outcome

    def _pass(
        self, store: Store, claims: Claims, cells: Sequence[Planned], images: int, outcome: Outcome, progress: Progress
    ) -> bool:
        """Make what can be claimed, model by model; whether others are still making something."""
        draw = partial(samples, self.sweep, self.plan.prompts)
        for backend in dict.fromkeys(planned.backend for planned in cells):
            own = [planned for planned in cells if planned.backend == backend]
            own = self._solved(store, claims, own, images, outcome)
            if todo := self._gaps(store, own, images, self.names):
                maker = Maker(self.sweep, self.prepared.load(backend), self.observers, self.device, store, claims)
                maker.make(todo, draw, outcome, progress)
        left = (planned.cell for planned in cells if planned.cell.key not in outcome.failed)
        return any(self._missing(store, cell, images) and not store.failure(cell) for cell in left)

    def _solved(
        self, store: Store, claims: Claims, cells: Sequence[Planned], images: int, outcome: Outcome
    ) -> list[Planned]:
        """Make the references that cells with gaps need, and return the cells whose references are there."""
        if not any(is_state(observer) for observer in self.observers):
            return list(cells)
        names = frozenset((Solution.name,))
        lacking = [planned for planned in cells if self._missing(store, planned.cell, images)]
        needed = of_all(lacking, self.observers)
        if todo := self._gaps(store, needed, images, names):
            model = self.prepared.load(todo[0][0].backend)
            maker = Maker(self.sweep, model, [Solution()], self.device, store, claims)
            draw = partial(samples, self.sweep, self.plan.prompts)
            maker.make(todo, draw, Outcome(), lambda images, cell: None)
        failed = {planned.cell.key: store.failure(planned.cell) for planned in needed}
        open_ = {planned.cell.key for planned, *_ in self._gaps(store, needed, images, names)}
        ready = []
        for planned in cells:
            keys = {reference.key for reference in references(planned.cell, self.observers)}
            if reason := next((failed[key] for key in keys if failed.get(key)), ""):
                outcome.failed[planned.cell.key] = reason = f"the reference of its trajectory error failed: {reason}"
                store.fail(planned.cell, reason)
            elif not keys & open_:
                ready.append(planned)
        return ready

    def _gaps(self, store: Store, cells: Sequence[Planned], images: int, names: frozenset[str]) -> list[Gap]:
        size = self.sweep.shard_size
        return [(one, *gap) for one in cells for gap in store.missing(one.cell, images, size, names)]

    def _missing(self, store: Store, cell: Cell, images: int) -> list[tuple[int, int]]:
        return store.missing(cell, images, self.sweep.shard_size, self.names)

"""The best cell so far, for those who watch a sweep: looked for as the run goes on, in a hundredth of its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from ..plugins.registry import build
from ..reports.metric_words import decisive
from ..reports.numbers import count, short
from .cells import Planned
from .plans import Plan
from .results import covered
from .selection import describe
from .store import Store

SHARE = 0.01  # of the time, at most, goes into looking
LONG = 1.0  # seconds after which a look is broken off and the next one goes on
PAUSE = 2.0  # seconds between two looks at least


class Standing(NamedTuple):
    """A cell's number over its first images."""

    images: int
    value: float


class Leader:
    """Looks at the store now and then; equal numbers of images alone are compared, and no interval is claimed."""

    def __init__(self, plan: Plan, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        directions = {text: build("metric", text).higher_is_better for text in plan.sweep.metrics}
        self.metric = decisive(directions)
        self.higher = bool(directions.get(self.metric or ""))
        self.plan, self.store, self.clock = plan, store, clock
        self.standings: dict[str, Standing] = {}
        self.next = clock() + PAUSE
        self.text = ""

    def look(self) -> str:
        """The best cell in words, as it was at the last look; "" before there is one."""
        began = self.clock()
        if self.metric is None or began < self.next:
            return self.text
        for planned in self.plan.runnable:
            self._measure(planned)
            if self.clock() - began > LONG:
                break
        self.text = self._best()
        now = self.clock()
        self.next = now + max(PAUSE, (now - began) / SHARE)
        return self.text

    def _measure(self, planned: Planned) -> None:
        metric, key = build("metric", self.metric or ""), planned.cell.key
        images = covered(self.store, planned.cell)
        if images < metric.minimum or images == self.standings.get(key, Standing(0, 0)).images:
            return
        try:
            value = metric.evaluate(self.store.observations(planned.cell, images)).value
        except Exception:
            return  # the report says why
        self.standings[key] = Standing(images, value)

    def _best(self) -> str:
        """Of the cells with the number of images that most of them have."""
        sizes = [standing.images for standing in self.standings.values()]
        if not sizes:
            return ""
        images = max(sorted(set(sizes)), key=sizes.count)
        values = {key: s.value for key, s in self.standings.items() if s.images == images}
        key = (max if self.higher else min)(values, key=lambda key: values[key])
        cell = next(planned.cell for planned in self.plan.runnable if planned.cell.key == key)
        among = f"of {count(len(values), 'cell')} with {count(images, 'image')}"
        return f"{describe(cell)}: {self.metric} {short(values[key])} ({among})"

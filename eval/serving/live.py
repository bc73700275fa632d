"""A run as it stands now: its report, published into a folder of our own whenever the store has more.

The run's folder is only read. Publishing takes a twentieth of the time at most, so that it leaves the machine to the
workers.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...plugins.registry import build
from ..plans import PLAN, SWEEP, Plan, load_plan
from ..progress import Meter
from ..publish import publish
from ..results import covered
from ..store import Store

SHARE = 0.05  # of the time, at most, goes into publishing
PAUSE = 5.0  # seconds between two publications at least


class Live:
    """What a browser is told: counts at every look, and a report that is renewed.

    Raises:
        UsageError: if the folder holds no readable run.
    """

    def __init__(self, folder: Path, out: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.out, self.clock = folder, out, clock
        self.version, self.next = 0, clock()
        self.lock = threading.Lock()  # several requests may ask at once
        self.published: dict[str, int] | None = None
        self._read()

    def _read(self) -> None:
        """The plan as it is now: a sweep that has grown writes another one into the folder."""
        self.plan, self.store = load_plan(self.folder), Store(self.folder)
        self.planned = self._texts()
        self.seen = self._stops()
        self.meter = Meter(self.plan.runnable, self.plan.sweep.images, self.seen, self.clock)
        for planned in self.plan.runnable:
            self.meter.add(self.seen[planned.cell.key], planned.cell)

    def _texts(self) -> tuple[bytes, bytes]:
        return (self.folder / SWEEP).read_bytes(), (self.folder / PLAN).read_bytes()

    def look(self) -> dict[str, Any]:
        """Counts for the head of the page; ``version`` grows with every report."""
        with self.lock:
            return self._look()

    def _look(self) -> dict[str, Any]:
        if self._texts() != self.planned:
            self._read()
        stops = self._stops()
        for planned in self.plan.runnable:
            new = stops[planned.cell.key] - self.seen[planned.cell.key]
            if new > 0:
                self.meter.add(new, planned.cell)
        self.seen = stops
        images, total = self.plan.sweep.images, len(self.plan.runnable)
        failed = [planned for planned in self.plan.runnable if self.store.failure(planned.cell)]
        return {
            "name": self.folder.resolve().name, "images": self.meter.done, "of": self.meter.total,
            "cells": sum(stop >= images for stop in stops.values()), "of_cells": total,
            "failed": len(failed), "refused": len(self.plan.cells) - total, "version": self.version,
            "rate": self.meter.rate, "left": self.meter.left,
        }  # fmt: skip

    def renew(self) -> bool:
        """Publish again if there is more than last time, and it is time; whether it did."""
        now, stops = self.clock(), self._stops()
        if now < self.next or stops == self.published:
            return False
        plan = so_far(self.plan, self.store)
        if plan.cells:
            publish(plan, self.folder, self.out, read_at=self.folder)
            self.version += 1
        self.published = stops
        self.next = self.clock() + max(PAUSE, (self.clock() - now) / SHARE)
        return bool(plan.cells)

    def _stops(self) -> dict[str, int]:
        """By names of files alone: how many of its images each cell has."""
        images = self.plan.sweep.images
        return {
            planned.cell.key: sum(min(s.stop, images) - min(s.start, images) for s in self.store.shards(planned.cell))
            for planned in self.plan.runnable
        }


def so_far(plan: Plan, store: Store) -> Plan:
    """The part that can be compared now: as many images as half of the cells that have begun have, and those cells."""
    images = plan.sweep.images
    least = max(build("metric", text).minimum for text in plan.sweep.metrics)
    have = {planned.cell.key: min(covered(store, planned.cell), images) for planned in plan.runnable}
    begun = sorted(count for count in have.values() if count >= least)
    common = begun[(len(begun) - 1) // 2] if begun else images
    cells = [
        planned
        for planned in plan.cells
        if planned.refused or have[planned.cell.key] >= common or store.failure(planned.cell)
    ]
    alone = {} if common == images else {"images": common, "until": "", "budget": 0}
    return dataclasses.replace(plan, sweep=plan.sweep.model_copy(update=alone), cells=cells)

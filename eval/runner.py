"""Running a sweep: check everything, make what the store lacks, record failures and go on.

Whatever ends a run, a later one with the same folder continues it: finished shards are kept, and an image depends
on its cell and index alone. Several runs may work on one folder at the same time: each shard is claimed first.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from ..plugins.registry import build
from .branches import networks
from .cells import Cell, Planned, branches, plan, samples
from .claims import Claims
from .engine import Job, counted, generate
from .errors import UsageError
from .images import PREVIEW, PREVIEWS, preview, write_images
from .prompts import check_prompts
from .protocols import Model, Observer, Sample
from .provenance import device_name, versions
from .store import Store, write_atomic
from .sweep import Sweep, metric_instances

SHARD = 250  # images between two writes: what a killed run loses at most, per cell
PLAN = "plan.json"
GOAL = "goal.json"
POLL = 0.5  # seconds between two looks at shards that others are making

Progress = Callable[[int, Cell], None]
"""Called with the number of images that are newly done and their cell."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep checked against its models and metrics."""

    sweep: Sweep
    prompts: list[str]
    cells: list[Planned]

    @property
    def runnable(self) -> list[Planned]:
        return [planned for planned in self.cells if not planned.refused]


@dataclasses.dataclass
class Outcome:
    """What a run did: images made and images that were there already, and the reasons of cells that failed."""

    made: int = 0
    kept: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


class Runner:
    """A sweep on its way into a folder.

    Creating one loads the models and observers and checks all cells and prompts; nothing is written before ``run``.

    Raises:
        UsageError: for anything that the caller has to mend.
    """

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        self.sweep, self.folder = sweep, folder
        self.device = _device(sweep)
        self._load = lru_cache(maxsize=1)(self._load_model)  # one model in memory at a time
        self.metrics = metric_instances(sweep)
        self.plan = self._plan()
        self.observers = self._observers()

    def run(self, progress: Progress) -> Outcome:
        """Make every missing shard; returns instead of raising when single cells fail."""
        return self.extend(self.plan.runnable, self.sweep.images, progress)

    def extend(self, cells: Sequence[Planned], images: int, progress: Progress) -> Outcome:
        """Bring these cells to so many images; what they have is kept, and what others are making is waited for."""
        return self._work(self.begin(cells, images), cells, images, progress)

    def join(self, progress: Progress) -> Outcome:
        """Help with what another process has begun in the folder; cells that failed there are left."""
        goal = _read_goal(self.folder)
        cells = [planned for planned in self.plan.runnable if planned.cell.key in goal["cells"]]
        return self._work(Store(self.folder), cells, goal["images"], progress)

    def begin(self, cells: Sequence[Planned], images: int) -> Store:
        """Write down what is to be made, so that others can join; what failed in an earlier run is tried again."""
        store = Store(self.folder)
        store.tidy()
        save_plan(store.root, self.plan)
        goal = {"images": images, "cells": [planned.cell.key for planned in cells]}
        write_atomic(store.root / GOAL, json.dumps(goal).encode())
        for planned in cells:
            store.forgive(planned.cell)
        return store

    def have(self, store: Store, cell: Cell, images: int) -> int:
        """How many of the cell's first images are there with all observations."""
        return images - sum(stop - start for start, stop in self._gaps(store, cell, images))

    def _work(self, store: Store, cells: Sequence[Planned], images: int, progress: Progress) -> Outcome:
        outcome = Outcome()
        for planned in cells:
            kept = self.have(store, planned.cell, images)
            outcome.kept += kept
            progress(kept, planned.cell)
        with Claims(store.root / "claims") as claims:
            todo = cells
            while todo := [p for p in todo if not self._finish(store, claims, p, images, outcome, progress)]:
                time.sleep(POLL)
        reasons = {planned.cell.key: store.failure(planned.cell) for planned in cells}
        outcome.failed = {**{key: reason for key, reason in reasons.items() if reason}, **outcome.failed}
        return outcome

    def _finish(
        self, store: Store, claims: Claims, planned: Planned, images: int, outcome: Outcome, progress: Progress
    ) -> bool:
        """Make the cell's missing shards as far as they can be claimed; whether nothing is left to wait for."""
        for start, stop in self._gaps(store, planned.cell, images):
            if store.failure(planned.cell):
                return True
            name = f"{planned.cell.key}-{start:07d}-{stop:07d}"
            if not claims.take(name):
                continue
            try:
                if not store.has(planned.cell, start, stop, self._names()):  # published before the claim was ours
                    self._make(store, planned, start, stop, progress)
                    outcome.made += stop - start
            except Exception as error:
                outcome.failed[planned.cell.key] = reason = f"{type(error).__name__}: {error}"
                with suppress(OSError):  # a full disk is one of the reasons
                    store.fail(planned.cell, reason)
                return True
            finally:
                claims.release(name)
        return not self._gaps(store, planned.cell, images)

    def _gaps(self, store: Store, cell: Cell, images: int) -> list[tuple[int, int]]:
        return store.missing(cell, images, SHARD, self._names())

    def _names(self) -> frozenset[str]:
        return frozenset(observer.name for observer in self.observers)

    def _make(self, store: Store, planned: Planned, start: int, stop: int, progress: Progress) -> None:
        model = self._load(planned.backend)
        todo = samples(self.sweep, self.plan.prompts, start, stop)
        parts, batches, began = [], [], time.perf_counter()
        with counted(*networks(model, branches(planned.cell, model))) as rows:
            for i in range(0, len(todo), self.sweep.batch_size):
                batch, before = todo[i : i + self.sweep.batch_size], time.perf_counter()
                parts.append(self._observe(model, store, planned.cell, batch))
                batches.append((len(batch), round(time.perf_counter() - before, 6)))
                progress(len(batch), planned.cell)
        observations = {name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]}
        metadata = {
            "seconds": repr(time.perf_counter() - began),
            "batches": json.dumps(batches),
            "evaluations": str(sum(rows)),
            "device": device_name(self.device),
            **versions(),
        }
        store.put(planned.cell, start, observations, metadata)

    def _observe(self, model: Model, store: Store, cell: Cell, batch: list[Sample]) -> dict[str, np.ndarray]:
        """Generate a batch and look at it with every observer."""
        (x,) = generate(model, [Job(cell, batch)], self.device)
        images = model.decode(x)
        if self.sweep.save_images:
            write_images(store.folder(cell) / "images", batch, images)
        prompts = [sample.prompt for sample in batch]
        seen = {observer.name: observer(images, prompts) for observer in self.observers}
        shown = [i for i, sample in enumerate(batch) if sample.index < PREVIEWS]
        return {**seen, PREVIEW: preview(images[shown])} if shown else seen

    def _plan(self) -> Plan:
        cells: list[Planned] = []
        backends = {text: build("backend", text) for text in self.sweep.models}
        prompts = self.sweep.prompts or _default_prompts(backends)
        texts = [*prompts, self.sweep.negative] if self.sweep.negative else prompts
        for text, backend in backends.items():
            if hasattr(backend, "check_prompts"):
                _usage(f"model {text}", backend.check_prompts, texts)
            cells += plan(self.sweep, text, self._load(text), prompts)
        if all(planned.refused for planned in cells):
            raise UsageError(f"no cell of this sweep can be run. {cells[0].cell.sampler}: {cells[0].refused}")
        return Plan(self.sweep, prompts, cells)

    def _observers(self) -> Sequence[Observer]:
        observers: dict[str, Observer] = {}
        for text, metric in self.metrics.items():
            if hasattr(metric, "check_prompts"):
                _usage(f"metric {text}", metric.check_prompts, self.plan.prompts)
            if self.sweep.images < metric.minimum:
                raise UsageError(f"metric {text} needs at least {metric.minimum} images, images = {self.sweep.images}")
            for observer in _usage(f"metric {text}", metric.observers, self.device):
                observers.setdefault(observer.name, observer)
        return list(observers.values())

    def _load_model(self, text: str) -> Model:
        return _usage(f"model {text}", build("backend", text).load, self.device, self.sweep.dtype)


def save_plan(folder: Path, plan: Plan) -> None:
    """Write the checked sweep and its cells, so that a report needs no model."""
    sweep = {**plan.sweep.model_dump(), "prompts": plan.prompts}
    write_atomic(folder / "sweep.yaml", yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True).encode())
    cells = [dataclasses.asdict(planned) for planned in plan.cells]
    write_atomic(folder / PLAN, json.dumps(cells, indent=1).encode())


def load_plan(folder: Path) -> Plan:
    """
    Raises:
        UsageError: if the folder holds no readable run.
    """
    try:
        sweep = Sweep(**yaml.safe_load((folder / "sweep.yaml").read_text(encoding="utf-8")))
        rows = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        cells = [Planned(_cell(row["cell"]), row["backend"], row["refused"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UsageError(
            f"{folder} holds no readable run ({error}); `sigmabench sweep --out {folder}` makes one"
        ) from error
    return Plan(sweep, sweep.prompts, cells)


def _read_goal(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / GOAL).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no run to join ({error}); `sigmabench sweep` starts one") from error


def _cell(fields: dict[str, Any]) -> Cell:
    lists: dict[str, Any] = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Cell(**{**fields, **lists})


def _usage(who: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call a plugin's own check; what it refuses is the caller's to mend."""
    try:
        return function(*args)
    except (ValueError, OSError, ImportError) as error:
        raise UsageError(f"{who}: {error}") from error


def _default_prompts(backends: dict[str, Any]) -> list[str]:
    known = {tuple(getattr(backend, "prompts", ())) for backend in backends.values()} - {()}
    if len(known) != 1:
        raise UsageError(f"prompts are missing, and {', '.join(backends)} bring none in common; give a list or a file")
    return check_prompts(known.pop())


def _device(sweep: Sweep) -> str:
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = found if sweep.device == "auto" else sweep.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda', but torch sees no CUDA device; use device: cpu or auto")
    return device

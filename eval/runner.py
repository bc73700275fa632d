"""Running a sweep: check everything, make what the store lacks, record failures and go on.

Whatever ends a run, a later one with the same folder continues it: finished shards are kept, and an image depends
on its cell and index alone. Several runs may work on one folder at the same time: each shard is claimed first.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
import yaml

from ..plugins.registry import build
from .cells import Cell, Planned, plan, samples
from .claims import Claims
from .errors import UsageError
from .making import Maker, Outcome, Progress
from .prompts import check_prompts
from .protocols import Model
from .references import Solution, of_all, references
from .store import Store, write_atomic
from .sweep import Sweep, metric_instances

SHARD = 250  # images between two writes: what a killed run loses at most, per cell
SWEEP = "sweep.yaml"
PLAN = "plan.json"
GOAL = "goal.json"
POLL = 0.5  # seconds between two looks at shards that others are making


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep checked against its models and metrics."""

    sweep: Sweep
    prompts: list[str]
    cells: list[Planned]

    @property
    def runnable(self) -> list[Planned]:
        return [planned for planned in self.cells if not planned.refused]


class Runner:
    """A sweep on its way into a folder.

    Creating one loads the models and observers and checks all cells and prompts; nothing is written before ``run``.

    Raises:
        UsageError: for anything that the caller has to mend.
    """

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        self.sweep, self.folder = sweep, folder
        self.device = device_of(sweep)
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
        for planned in [*cells, *of_all(cells, self.observers)]:
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
            todo = [(planned, *gap) for planned in own for gap in self._gaps(store, planned.cell, images)]
            if todo:
                maker = Maker(self.sweep, self._load(backend), self.observers, self.device, store, claims)
                maker.make(todo, draw, outcome, progress)
        left = (planned.cell for planned in cells if planned.cell.key not in outcome.failed)
        return any(self._gaps(store, cell, images) and not store.failure(cell) for cell in left)

    def _solved(
        self, store: Store, claims: Claims, cells: Sequence[Planned], images: int, outcome: Outcome
    ) -> list[Planned]:
        """Make the references that cells with gaps need, and return the cells whose references are there."""
        lacking = [planned for planned in cells if self._gaps(store, planned.cell, images)]
        needed = of_all(lacking, self.observers)
        todo = [(planned, *gap) for planned in needed for gap in self._unsolved(store, planned.cell, images)]
        if todo:
            maker = Maker(self.sweep, self._load(todo[0][0].backend), [Solution()], self.device, store, claims)
            draw = partial(samples, self.sweep, self.plan.prompts)
            maker.make(todo, draw, Outcome(), lambda images, cell: None)
        failed = {planned.cell.key: store.failure(planned.cell) for planned in needed}
        open_ = {planned.cell.key for planned in needed if self._unsolved(store, planned.cell, images)}
        ready = []
        for planned in cells:
            keys = {reference.key for reference in references(planned.cell, self.observers)}
            if reason := next((failed[key] for key in keys if failed.get(key)), ""):
                outcome.failed[planned.cell.key] = reason = f"the reference of its trajectory error failed: {reason}"
                store.fail(planned.cell, reason)
            elif not keys & open_:
                ready.append(planned)
        return ready

    def _unsolved(self, store: Store, cell: Cell, images: int) -> list[tuple[int, int]]:
        return store.missing(cell, images, SHARD, frozenset((Solution.name,)))

    def _gaps(self, store: Store, cell: Cell, images: int) -> list[tuple[int, int]]:
        return store.missing(cell, images, SHARD, self._names())

    def _names(self) -> frozenset[str]:
        return frozenset(observer.name for observer in self.observers)

    def _plan(self) -> Plan:
        cells: list[Planned] = []
        backends = {text: build("backend", text) for text in self.sweep.models}
        prompts = self.sweep.prompts or _default_prompts(backends)
        others = [self.sweep.negative] if self.sweep.negative else []
        texts = [*prompts, *others, *self.sweep.texts.values()]
        for text, backend in backends.items():
            if hasattr(backend, "check_prompts"):
                _usage(f"model {text}", backend.check_prompts, texts)
            cells += plan(self.sweep, text, self._load(text), prompts)
        if all(planned.refused for planned in cells):
            raise UsageError(f"no cell of this sweep can be run. {cells[0].cell.sampler}: {cells[0].refused}")
        return Plan(self.sweep, prompts, cells)

    def _observers(self) -> Sequence[Any]:
        observers: dict[str, Any] = {}
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
    write_atomic(folder / SWEEP, yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True).encode())
    cells = [dataclasses.asdict(planned) for planned in plan.cells]
    write_atomic(folder / PLAN, json.dumps(cells, indent=1).encode())


def load_plan(folder: Path) -> Plan:
    """
    Raises:
        UsageError: if the folder holds no readable run.
    """
    try:
        sweep = Sweep(**yaml.safe_load((folder / SWEEP).read_text(encoding="utf-8")))
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


def device_of(sweep: Sweep) -> str:
    """
    Raises:
        UsageError: for a GPU that is not there.
    """
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = found if sweep.device == "auto" else sweep.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda', but torch sees no CUDA device; use device: cpu or auto")
    return device

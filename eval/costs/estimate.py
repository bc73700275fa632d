"""From counts and a calibration to what a sweep takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..cells import Cell
from ..references import of_all
from ..runner import Runner
from ..store import Store
from .calibration import calibrate, seconds_of
from .counting import count
from .sharing import Shared


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one cell takes that is not there yet."""

    cell: Cell
    images: int
    evaluations: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What is left of a sweep to do, for one worker; reports are made once, whatever the number of workers."""

    cells: list[Cost]
    refused: int
    network: float
    """Seconds of predictions."""
    beside: float
    """Seconds beside them: decoding, metrics' networks, the store."""
    report: float
    device: str
    worst: float
    """Times what ``until: separated`` may go on to: its budget over its images; 1 without."""

    def seconds(self, workers: int = 1) -> float:
        return (self.network + self.beside) / workers + self.report


def estimate(runner: Runner, folder: Path) -> Estimate:
    """Count every cell, calibrate every model, and add up what the folder's store lacks.

    Nothing is written into the folder.
    """
    runnable, store = runner.plan.runnable, Store(folder) if folder.exists() else None
    costs: list[Cost] = []
    network = beside = report = page = 0.0
    for backend in dict.fromkeys(planned.backend for planned in runnable):
        model = runner.prepared.load(backend)
        own = [planned for planned in runnable if planned.backend == backend]
        solved = of_all(own, runner.observers)
        counted = {each.cell.key: count(each.cell, model) for each in (*own, *solved)}
        calibration = calibrate(runner, backend, counted)
        shared = Shared(min(runner.sweep.images, runner.sweep.shard_size), calibration.batch)
        for planned in (*solved, *own):
            asked = counted[planned.cell.key]
            left = runner.sweep.images - (runner.have(store, planned.cell, runner.sweep.images) if store else 0)
            predicted = left / calibration.batch * seconds_of(asked, calibration.rounds, shared.pays(asked))
            costs.append(Cost(planned.cell, left, left * asked.evaluations, predicted + left * calibration.image))
            network, beside = network + predicted, beside + left * calibration.image
        report, page = report + calibration.cell * len(own), calibration.page
    worst = runner.sweep.budget / runner.sweep.images if runner.sweep.until else 1.0
    return Estimate(costs, len(runner.plan.cells) - len(runnable), network, beside, report + page, runner.device, worst)

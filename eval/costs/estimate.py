"""From counts and a calibration to what a sweep takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path

from ..cells import Cell
from ..references import of_all
from ..runner import Runner
from ..store import Store
from .calibration import calibrate, seconds_of
from .counting import count
from .measuring import Clock, Spread
from .sharing import Shared

UNKNOWN = 0.1
"""How far an estimate may be off, beyond what its measurements differ by when repeated."""


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
    network: Spread
    """Seconds of predictions."""
    beside: Spread
    """Seconds beside them: decoding, metrics' networks, the store."""
    report: Spread
    device: str
    worst: float
    """Times what ``until: separated`` may go on to: its budget over its images; 1 without."""
    start: float = 0.0
    """Seconds until a process is ready to begin, each worker's own."""

    def seconds(self, workers: int = 1, times: float = 1.0) -> Spread:
        """Until the report, and the interval in which that lies.

        Args:
            times: so much of what makes the images.
        """
        made, low, high = (
            self.start * (2 if workers > 1 else 1) + times * (network + beside) / workers + report
            for network, beside, report in zip(self.network, self.beside, self.report, strict=True)
        )
        return Spread(made, low * (1 - UNKNOWN), high * (1 + UNKNOWN))


def estimate(runner: Runner, folder: Path, start: float = 0.0, clock: Clock = time.perf_counter) -> Estimate:
    """Count every cell, calibrate every model, and add up what the folder's store lacks.

    Nothing is written into the folder.

    Args:
        start: seconds until a process is ready to begin.
        clock: what says seconds in the calibration.
    """
    runnable, store = runner.plan.runnable, Store(folder) if folder.exists() else None
    costs: list[Cost] = []
    network, beside, report = [], [], []
    for backend in dict.fromkeys(planned.backend for planned in runnable):
        model = runner.prepared.load(backend)
        own = [planned for planned in runnable if planned.backend == backend]
        solved = of_all(own, runner.observers)
        counted = {each.cell.key: count(each.cell, model) for each in (*own, *solved)}
        calibration = calibrate(runner, backend, counted, clock)
        image, page, cell = calibration.beside
        shared = Shared(min(runner.sweep.images, runner.sweep.shard_size), calibration.batch)
        for planned in (*solved, *own):
            asked = counted[planned.cell.key]
            left = runner.sweep.images - (runner.have(store, planned.cell, runner.sweep.images) if store else 0)
            pays = shared.pays(asked)
            of_batch = [
                seconds_of(asked, {kind: seconds[i] for kind, seconds in calibration.rounds.items()}, pays)
                for i in range(3)
            ]
            network.append(_times(of_batch, left / calibration.batch))
            beside.append(_times(image, left))
            costs.append(Cost(planned.cell, left, left * asked.evaluations, network[-1].median + beside[-1].median))
        report.append(_times(cell, len(own)))
    worst = runner.sweep.budget / runner.sweep.images if runner.sweep.until else 1.0
    refused = len(runner.plan.cells) - len(runnable)
    return Estimate(
        costs, refused, _sum(network), _sum(beside), _sum([*report, page]), runner.device, worst, start
    )  # fmt: skip


def _times(seconds: Iterable[float], factor: float) -> Spread:
    return Spread(*(each * factor for each in seconds))


def _sum(parts: Iterable[Spread]) -> Spread:
    return Spread(*(sum(part) for part in zip(*parts, strict=True)))

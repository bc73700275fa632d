"""What a sweep's own model, metrics and report take on this machine, measured in seconds and in some of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ..cells import Planned
from ..protocols import Drawing
from ..references import of_all
from ..runner import Runner
from .beside import Beside, Still, beside
from .counting import Branches, Counted
from .measuring import Clock, Spread
from .rounds import first_answer, rounds

TRIAL = 4
"""Cells whose images are looked at and reported."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Seconds, with the quartiles of their repeats."""

    batch: int
    rounds: dict[Branches, Spread]
    """Of one batch: one answer to a request for these branches."""
    beside: Beside


def calibrate(
    runner: Runner, backend: str, counted: Mapping[str, Counted], clock: Clock = time.perf_counter
) -> Calibration:
    """Time rounds of every kind that the model's cells ask for; then look at one batch of images for each of a few
    cells, and report them, in folders that are thrown away.

    Args:
        counted: what the cells ask, and the reference solutions that their metrics need, by key.
        clock: says seconds.
    """
    model: Any = runner.prepared.load(backend)
    cells = sorted(
        (planned for planned in runner.plan.runnable if planned.backend == backend),
        key=lambda planned: counted[planned.cell.key].evaluations,
    )
    batch, trial = min(runner.sweep.batch_size, runner.sweep.images), cells[:TRIAL]
    if isinstance(model, Drawing):
        asked = {kind for each in counted.values() for kind in each.kinds}
        found, still = dict.fromkeys(asked, Spread(0.0, 0.0, 0.0)), model
    else:
        trial += [_reseeded(trial[0], i) for i in range(1, TRIAL - len(trial) + 1)]
        every = [planned.cell for planned in (*cells, *of_all(cells, runner.observers))]
        found = rounds(runner, model, every, counted, batch, clock)
        branch = counted[trial[0].cell.key].first[1][0]
        still = Still(model, first_answer(runner, model, trial[0].cell, branch, batch)[0])
    return Calibration(batch, found, beside(runner, still, trial, batch, clock))


def _reseeded(planned: Planned, number: int) -> Planned:
    """Another cell like this one, where a sweep has few."""
    return dataclasses.replace(planned, cell=dataclasses.replace(planned.cell, seed=planned.cell.seed + number))


def seconds_of(counted: Counted, rounds: Mapping[Branches, float], first: Branches) -> float:
    """Of the predictions for one batch of a cell that answers these branches of its first request, each in a call."""
    return sum(rounds[(branch,)] for branch in first) + sum(
        rounds[kind] * times for kind, times in counted.others.items()
    )

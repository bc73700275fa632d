"""Seconds of a round of predictions, of an image and of a report, measured on the sweep's own model and metrics."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...samplers.level import variance_preserving
from ..branches import condition, named, texts_of
from ..cells import samples
from ..engine import predict
from ..protocols import Drawing, Model
from ..publish import publish
from ..references import of_all
from ..runner import Runner
from .counting import Branches, Counted
from .sharing import Shared

ROUNDS = 5
"""Timed rounds of each kind, after one that is not; their median counts."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was measured, in seconds."""

    batch: int
    rounds: dict[Branches, float]
    """Of one batch: one answer to a request for these branches."""
    image: float
    """Of one image beside the predictions: the sampler's steps, decoding, the metrics' networks, the store."""
    page: float
    """Of a report, whatever its size."""
    cell: float
    """Of one cell more in it."""


def calibrate(runner: Runner, backend: str, counted: Mapping[str, Counted], trial: int = 3) -> Calibration:
    """Time a round of every kind that the model's cells ask for, then make one batch of its ``trial`` cheapest cells
    and their report in a folder that is thrown away.

    Args:
        counted: what the cells ask, and the reference solutions that their metrics need, by key.
    """
    model = runner.prepared.load(backend)
    cells = [planned for planned in runner.plan.runnable if planned.backend == backend]
    batch = min(runner.sweep.batch_size, runner.sweep.images)
    asked = dict.fromkeys(kind for each in counted.values() for kind in each.kinds)
    rounds = {kind: 0.0 if isinstance(model, Drawing) else _round(runner, model, kind, batch) for kind in asked}
    cheapest = sorted(cells, key=lambda each: counted[each.cell.key].evaluations)[:trial]
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = runner.elsewhere(Path(folder))
        made = _timed(lambda: elsewhere.extend(cheapest, batch, lambda images, cell: None), runner.device)
        sweep = runner.sweep.model_copy(update={"images": batch})
        reports = [dataclasses.replace(runner.plan, sweep=sweep, cells=cheapest[:n]) for n in (1, 1, len(cheapest))]
        _, one, all_ = (_timed(partial(publish, plan, Path(folder)), runner.device) for plan in reports)
    made_of = [*cheapest, *of_all(cheapest, runner.observers)]
    shared, trials = Shared(batch, batch), [counted[each.cell.key] for each in made_of]
    predicted = sum(seconds_of(asked, rounds, shared.pays(asked)) for asked in trials)
    image = max(made - predicted, 0.0) / (batch * len(made_of))
    more = max(all_ - one, 0.0) / max(len(cheapest) - 1, 1)
    return Calibration(batch, rounds, image, max(one - more, 0.0), more)


def seconds_of(counted: Counted, rounds: Mapping[Branches, float], first: Branches) -> float:
    """Of the predictions for one batch of a cell that answers these branches of its first request, each in a call."""
    return sum(rounds[(branch,)] for branch in first) + sum(
        rounds[kind] * times for kind, times in counted.others.items()
    )


def _round(runner: Runner, model: Model, branches: Branches, batch: int) -> float:
    """Median seconds of one answer, for one batch among as many as the engine keeps at work."""
    drawn = samples(runner.sweep, runner.plan.prompts, 0, batch)
    texts = texts_of([sample.prompt for sample in drawn], runner.sweep.negative, named(runner.sweep.texts))
    conditions = {branch: condition(model, branch, texts, [sample.seed for sample in drawn]) for branch in branches}
    level = variance_preserving(1.0)
    x = torch.randn((batch, *model.shape), generator=torch.Generator().manual_seed(0)).to(runner.device)
    together = 1 if runner.device == "cpu" else 2
    answer = partial(predict, model, [(x, level, conditions)] * together)
    with torch.no_grad():
        answer()
        return statistics.median(_timed(answer, runner.device) for _ in range(ROUNDS)) / together


def _timed(work: Callable[[], Any], device: str) -> float:
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began

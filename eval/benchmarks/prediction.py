"""What ``sigmabench plan`` says beside what the sweep then takes, over several kinds of sweep.

On a CPU both are CPU seconds, which with one thread are those of the clock on a machine that does nothing else.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..costs.estimate import Estimate, estimate
from ..costs.words import span
from ..publish import publish
from ..runner import Runner
from ..store import Store
from ..sweep import Sweep
from ..until import undecided
from ..workers import Local, run_with
from .row import Row
from .start import of_children, of_process
from .timing import spread, timed

GOAL = 0.15
IMAGES = {"cpu": 40, "cuda": 500}
KINDS: dict[str, Mapping[str, Any]] = {
    "few steps, two metrics": {"samplers": ["euler", "heun"], "steps": 5, "metrics": ["fd", "clip_score"]},
    "few and many steps": {"samplers": ["euler", "dpmpp_2m_sde"], "steps": [2, 20], "metrics": "luminance"},
    "six metrics": {
        "samplers": ["euler", "dpmpp_2m"], "steps": 3,
        "metrics": ["fd", "kd", "clip_score", "class_agreement", "diversity", "luminance"],
    },
    "two models": {"models": ["embedded", "embedded(variant=eps)"], "steps": 6, "metrics": "fd"},
    "48 cells in closed form": {
        "models": "gaussian_mixture(size=8)", "spacings": "karras", "steps": [5, 10], "scales": [1, 2, 3, 4],
        "samplers": ["euler", "heun", "dpmpp_2m", "ddim", "deis", "unipc"], "metrics": "luminance",
        "prompts": ["a", "b"],
    },
    "PNG files": {"samplers": ["euler", "ddim"], "steps": 4, "metrics": "luminance", "save_images": True},
    "until separated": {
        "samplers": ["euler", "dpmpp_2m", "heun"], "steps": 3, "metrics": "fd", "until": "separated",
    },
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Told:
    """Seconds as they were predicted and as they were."""

    predicted: float
    taken: float

    @property
    def off(self) -> float:
        return abs(self.predicted / self.taken - 1)


def rows(device: str) -> Iterator[Row]:
    told = {name: _told(_sweep(fields, device), device) for name, fields in KINDS.items()}
    said, were = (
        "; ".join(f"{name}: {span(getattr(each, field))}" for name, each in told.items())
        for field in ("predicted", "taken")
    )
    offs = [each.off for each in told.values()]
    what = f"relative error of the predicted time of {len(told)} kinds of sweep"
    yield Row(f"{what}, the median", "the sweeps themselves", spread(offs), GOAL, ours=said, theirs=were)
    yield Row(f"{what}, the largest", "the sweeps themselves", spread([max(offs)]), GOAL)
    if device == "cpu":
        both = _told_two_workers(_sweep({"samplers": ["euler", "dpmpp_2m"], "steps": 5, "metrics": "fd"}, device))
        what = "relative error of the predicted CPU time of two workers, their start included"
        yield Row(what, "the workers themselves", spread([both.off]), GOAL, ours=span(both.predicted),
                  theirs=span(both.taken))  # fmt: skip


def _sweep(fields: Mapping[str, Any], device: str) -> Sweep:
    images = IMAGES[device]
    more = {"budget": 4 * images} if "until" in fields else {}
    return Sweep.model_validate({"images": images, "batch_size": images // 2, "device": device, **more, **fields})


def _told(sweep: Sweep, device: str) -> Told:
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(sweep, Path(folder))
        found = estimate(runner, Path(folder), clock=_clock(device))
        taken = timed(partial(_run, runner), device)
        store, most = Store(Path(folder)), sweep.looks()[-1]
        made = {planned.cell.key: runner.have(store, planned.cell, most) for planned in runner.plan.runnable}
    return Told(_of(found, made), taken)


def _run(runner: Runner) -> None:
    """All of a sweep, as the command does it."""
    runner.run(lambda images, cell: None)
    for images, cells in undecided(runner.plan, Store(runner.folder)):
        runner.extend(cells, images, lambda images, cell: None)
    publish(runner.plan, runner.folder)


def _of(found: Estimate, made: Mapping[str, int]) -> float:
    """What was predicted for so many images of each cell, which until: separated alone decides on."""
    return found.report.median + sum(
        cost.seconds * made.get(cost.cell.key, cost.images) / cost.images for cost in found.cells
    )


def _told_two_workers(sweep: Sweep) -> Told:
    """Of both, the start is what a worker takes that finds nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(sweep, Path(folder))
        found = estimate(runner, Path(folder), clock=time.process_time)
        before = of_children()
        run_with(Local(2), runner, runner.plan.runnable, sweep.images, lambda images, cell: None)
        taken = of_children() - before
        start = of_process("-m", "sigmabench", "join", folder)
    return Told(2 * start + found.network.median + found.beside.median, taken)


def _clock(device: str) -> Callable[[], float]:
    return time.process_time if device == "cpu" else time.perf_counter

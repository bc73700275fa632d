"""A real sweep: as many images a cell as its time allows, by a rate that is measured first, and its efficiency.

    efficiency = images' evaluations * seconds of a row at the network's best batch / seconds of the sweep

Evaluations count for each cell, though cells share the first of each image.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..benchmarks.swept import Swept
from ..benchmarks.timing import timed
from ..plans import load_plan, save_plan
from ..runner import Runner
from ..store import Store
from ..sweep import load_sweep
from .stages import Found, Task

FILE = Path(__file__).with_name("sweep.yaml")
FOLDER, TABLES = "sweep", "report"
SMALL = {"samplers": ["euler", "dpmpp_2m"], "steps": [2, 3], "images": 40, "batch_size": 10, "shard_size": 10}
SHARE = 0.8
"""Of the time that is left, how much the images may take by the rate measured: the rest is for what varies."""
BATCHES = (125, 250, 500, 1000)


def sweep(task: Task) -> Found:
    """Into ``sweep``: a first batch of all cells to warm up, a second to measure the rate, then the rest."""
    end = time.monotonic() + task.seconds
    fields = {"device": task.device, **(SMALL if task.small else {})}
    runner = Runner(load_sweep(FILE, fields), task.folder / FOLDER)
    batch, cells = runner.sweep.batch_size, len(runner.plan.runnable)
    _made(runner, batch)
    seconds = _made(runner, 2 * batch)
    yield {"cells": cells, "images": 2 * batch, "images_per_s": cells * batch / seconds}
    rows = _network(task)
    before = _best(rows, task.device)
    left = SHARE * (end - time.monotonic())
    images = min(runner.sweep.images, batch * (2 + int(left / seconds)))
    if images == 2 * batch:
        raise TimeoutError(f"a batch of {cells} cells took {seconds:.1f} s, and {left:.1f} s are left: no more is made")
    yield {"goal": images, "network_rows_per_s": 1 / before}
    seconds = _made(runner, images)
    made = cells * (images - 2 * batch)
    yield {"images": images, "seconds_of_the_sweep": seconds, "images_per_s": made / seconds}
    row = (before + _best(rows, task.device)) / 2
    asked = _evaluations(runner) * (images - 2 * batch) / images
    yield {"network_rows_per_s": 1 / row, "evaluations": asked, "efficiency": asked * row / seconds}


def tables(task: Task) -> Found:
    """Of what the sweep has made, also where it was stopped: tables, and what a page needs beside them."""
    from ..publish import about, write_tables
    from ..results import covered, evaluate, previews

    folder, out = task.folder / FOLDER, task.folder / TABLES
    plan, store = load_plan(folder), Store(folder)
    images = min(min(covered(store, planned.cell) for planned in plan.runnable), plan.sweep.images)
    if not images:
        raise ValueError("a cell has no images: the sweep was stopped before its first batch")
    plan = dataclasses.replace(plan, sweep=plan.sweep.model_copy(update={"images": images}))
    out.mkdir(exist_ok=True)
    save_plan(out, plan)
    (out / "about.json").write_text(json.dumps({**about(plan, folder), "device": task.device}), encoding="utf-8")
    yield {"cells": len(plan.runnable), "images": images}
    _save_previews(out / "previews.npz", previews(plan, store))
    frames = evaluate(plan, store)
    write_tables(out, frames)
    yield {"numbers": len(frames.results), "pairs": len(frames.comparisons)}


def _save_previews(path: Path, shown: Mapping[str, Any]) -> None:
    import numpy as np

    np.savez_compressed(path, **shown)


def _made(runner: Runner, images: int) -> float:
    """Seconds of bringing all cells to so many images.

    Raises:
        RuntimeError: if a cell failed.
    """
    began = time.monotonic()
    outcome = runner.extend(runner.plan.runnable, images, lambda count, cell: None)
    if outcome.failed:
        raise RuntimeError(f"cells failed: {outcome.failed}")
    return time.monotonic() - began


def _network(task: Task) -> dict[int, Callable[[], object]]:
    """The bare network at several batches, ready to go."""
    sizes = (10, 20) if task.small else BATCHES
    swept = Swept(("euler",), 2, 2, 2, task.device)
    return {size: swept.forward(size) for size in sizes}


def _best(rows: Mapping[int, Callable[[], object]], device: str) -> float:
    """Seconds of a row at the best batch."""
    return min(min(timed(run, device) for _ in range(4)) / size for size, run in rows.items())


def _evaluations(runner: Runner) -> int:
    store = Store(runner.folder)
    shards = (store.observations(planned.cell, runner.sweep.images).metadata() for planned in runner.plan.runnable)
    return sum(int(metadata["evaluations"]) for cell in shards for metadata in cell)

"""How the cost of a sweep grows with steps, images, cells, pixels and workers: measured, and fitted by straight lines.

The embedded model is swept with guidance; pixels are those of an untrained U-Net, whose speed does not depend on its
weights. Every number is a median of repeats, taken in turns.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..runner import Runner
from ..sweep import Sweep
from ..workers import Local, run_with

BASE: dict[str, Any] = {
    "models": ["embedded"], "samplers": ["euler"], "steps": [5], "guidance": ["cfg(3)"], "images": 20, "batch_size": 20,
    "metrics": ["luminance"],
}  # fmt: skip
SINGLE = ("euler", "dpmpp_2m", "ddim", "deis", "ipndm", "res_2m", "lms", "gradient_estimation")
SIDES = (16, 32, 64, 128)
REPEATS = 3


@dataclasses.dataclass(frozen=True)
class Growth:
    """Seconds along one axis, and the line ``seconds = fixed + each * n`` with the least relative errors."""

    axis: str
    n: list[int]
    seconds: list[list[float]]
    """Of every repeat, a row for each n."""
    fixed: float
    each: float
    off: float
    """The largest relative error of the line."""


def growths() -> list[Growth]:
    """Steps, images, cells and pixels."""
    with tempfile.TemporaryDirectory() as folder:
        plain = {**BASE, "guidance": ["cfg(1)"], "images": 4, "batch_size": 4}
        return [
            _growth("steps", {n: {"steps": [n]} for n in (5, 10, 20, 40)}),
            _growth("images", {n: {"images": n} for n in (20, 40, 80, 160)}),
            _growth("cells", {n: {"samplers": list(SINGLE[:n])} for n in (1, 2, 4, 8)}),
            _growth("pixels", {n * n: {**plain, "models": [_untrained(Path(folder), n)]} for n in SIDES}),
        ]


def by_workers(counts: Sequence[int] = (1, 2)) -> dict[int, float]:
    """Seconds of the same four cells by so many processes, their start included."""
    sweep = Sweep(**{**BASE, "samplers": list(SINGLE[:4]), "steps": [20]})
    return {count: _seconds(Runner(sweep, Path()), count) for count in counts}


def _growth(axis: str, changes: Mapping[int, Mapping[str, Any]]) -> Growth:
    runners = {n: Runner(Sweep(**{**BASE, **change}), Path()) for n, change in changes.items()}
    _seconds(next(iter(runners.values())))  # what is made ready at first use
    times = [[_seconds(runner) for runner in runners.values()] for _ in range(REPEATS)]
    rows = [list(row) for row in zip(*times, strict=True)]
    return Growth(axis, list(runners), rows, *line(list(runners), [statistics.median(row) for row in rows]))


def line(n: Sequence[float], seconds: Sequence[float]) -> tuple[float, float, float]:
    """Fixed part, slope and largest relative error of the line with the least squares of relative errors."""
    places, found = np.asarray(n, float), np.asarray(seconds, float)
    design = np.stack([1 / found, places / found], 1)
    (fixed, each), *_ = np.linalg.lstsq(design, np.ones(len(found)), rcond=None)
    return float(fixed), float(each), float(np.abs(design @ [fixed, each] - 1).max())


def _seconds(runner: Runner, workers: int = 0) -> float:
    """Of making all images in a new folder, by this process or by so many others."""
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = runner.elsewhere(Path(folder))
        make = partial(run_with, Local(workers), elsewhere) if workers else elsewhere.extend
        began = time.perf_counter()
        outcome = make(runner.plan.runnable, runner.sweep.images, lambda images, cell: None)
        if outcome.failed:
            raise RuntimeError(f"nothing was measured: {outcome.failed}")
        return time.perf_counter() - began


def _untrained(folder: Path, side: int) -> str:
    """The text of a backend: a small pixel-space U-Net of this side with random weights, saved as a pipeline."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=side, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    pipe: Any = DDPMPipeline(unet, DDPMScheduler())
    pipe.save_pretrained(folder / str(side))
    return f"diffusers(path='{folder / str(side)}')"

"""How the cost of a sweep grows with steps, images, cells, pixels and workers: measured, and fitted by straight lines.

The embedded model is swept with guidance; pixels are those of an untrained U-Net, whose speed does not depend on its
weights. Every number is a median of repeats, taken in turns.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..making import Outcome
from ..runner import Runner
from ..sweep import Sweep
from ..workers import Local, run_with
from .row import Row
from .timing import spread, timed

BASE: dict[str, Any] = {
    "models": ["embedded"], "samplers": ["euler"], "steps": [5], "guidance": ["cfg(3)"], "images": 20, "batch_size": 20,
    "metrics": ["luminance"],
}  # fmt: skip
SINGLE = ("euler", "dpmpp_2m", "ddim", "deis", "ipndm", "res_2m", "lms", "gradient_estimation")
SIDES = (16, 32, 64, 128)
REPEATS, STRAIGHT, SHARED = 3, 0.15, 0.75


def rows(device: str) -> Iterator[Row]:
    """How far from its line each axis is, and what a second worker saves."""
    for growth in growths(device):
        fixed, each = f"{growth.fixed:.3g} s", f"{growth.each:.3g} s"
        at = ", ".join(
            f"{n:,}: {statistics.median(row):.2f} s" for n, row in zip(growth.n, growth.seconds, strict=True)
        )
        off = spread([growth.off])
        what = f"largest relative distance from the line {fixed} + {each} x {growth.axis}"
        yield Row(what, "", off, STRAIGHT, ours=at)
    one, two = by_workers(device)
    share = spread([two / one])
    yield Row("two workers beside one, start included", "", share, SHARED, ours=f"{two:.1f} s", theirs=f"{one:.1f} s")


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


def growths(device: str) -> list[Growth]:
    """Steps, images, cells and pixels."""
    with tempfile.TemporaryDirectory() as folder:
        plain = {**BASE, "guidance": ["cfg(1)"], "images": 4, "batch_size": 4}
        return [
            _growth("steps", device, {n: {"steps": [n]} for n in (5, 10, 20, 40)}),
            _growth("images", device, {n: {"images": n} for n in (20, 40, 80, 160)}),
            _growth("cells", device, {n: {"samplers": list(SINGLE[:n])} for n in (1, 2, 4, 8)}),
            _growth("pixels", device, {n * n: {**plain, "models": [_untrained(Path(folder), n)]} for n in SIDES}),
        ]


def by_workers(device: str, counts: Sequence[int] = (1, 2)) -> list[float]:
    """Seconds of the same cells by so many processes, by the clock and with their start."""
    fields = {**BASE, "samplers": list(SINGLE[:4]), "steps": [20], "images": 100, "device": device}
    return [_by(Runner(Sweep(**fields), Path()), count) for count in counts]


def _growth(axis: str, device: str, changes: Mapping[int, Mapping[str, Any]]) -> Growth:
    runners = {n: Runner(Sweep(**{**BASE, "device": device, **change}), Path()) for n, change in changes.items()}
    _seconds(next(iter(runners.values())))  # what is made ready at first use
    times = [[_seconds(runner) for runner in runners.values()] for _ in range(REPEATS)]
    seconds = [list(row) for row in zip(*times, strict=True)]
    return Growth(axis, list(runners), seconds, *line(list(runners), [statistics.median(row) for row in seconds]))


def line(n: Sequence[float], seconds: Sequence[float]) -> tuple[float, float, float]:
    """Fixed part, slope and largest relative error of the line with the least squares of relative errors."""
    places, found = np.asarray(n, float), np.asarray(seconds, float)
    design = np.stack([1 / found, places / found], 1)
    (fixed, each), *_ = np.linalg.lstsq(design, np.ones(len(found)), rcond=None)
    return float(fixed), float(each), float(np.abs(design @ [fixed, each] - 1).max())


def _seconds(runner: Runner) -> float:
    """Of making all images in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        return timed(partial(_make, runner.elsewhere(Path(folder)).extend, runner), runner.device)


def _by(runner: Runner, workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        _make(partial(run_with, Local(workers), runner.elsewhere(Path(folder))), runner)
        return time.perf_counter() - began


def _make(make: Callable[..., Outcome], runner: Runner) -> None:
    outcome = make(runner.plan.runnable, runner.sweep.images, lambda images, cell: None)
    if outcome.failed:
        raise RuntimeError(f"nothing was measured: {outcome.failed}")


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

"""How the cost of a sweep grows with steps, images, cells, pixels and workers: measured, and fitted with its reason.

Steps, images and cells are each done like the last one: a straight line. A convolution asks as much of every pixel, and
self-attention of every pair: a line and a square. The embedded model is swept with guidance; pixels are those of an
untrained U-Net, whose speed does not depend on its weights. A number is a median of repeats, taken in turns.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..making import Outcome
from ..runner import Runner
from ..sweep import Sweep
from .by_workers import by_workers
from .fits import exponent, fit
from .row import Row
from .timing import spread, timed

BASE: dict[str, Any] = {
    "models": ["embedded"], "samplers": ["euler"], "steps": [5], "guidance": ["cfg(3)"], "images": 20, "batch_size": 20,
    "metrics": ["luminance"],
}  # fmt: skip
SINGLE = ("euler", "dpmpp_2m", "ddim", "deis", "ipndm", "res_2m", "lms", "gradient_estimation")
SIDES = (16, 32, 64, 96, 128)
REPEATS, NEAR = 3, 0.15


def rows(device: str) -> Iterator[Row]:
    """How far from its curve each axis is, and what a second worker saves."""
    yield _grown("steps", device, {n: {"steps": [n]} for n in (5, 10, 20, 40)})
    yield _grown("images", device, {n: {"images": n} for n in (20, 40, 80, 160)})
    yield _grown("cells", device, {n: {"samplers": list(SINGLE[:n])} for n in (1, 2, 4, 8)})
    with tempfile.TemporaryDirectory() as folder:
        plain = {**BASE, "guidance": ["cfg(1)"], "images": 4, "batch_size": 4}
        sides = {n * n: {**plain, "models": [_untrained(Path(folder), n)]} for n in SIDES}
        yield _grown("pixels", device, sides, degree=2)
    yield from by_workers({**BASE, "samplers": list(SINGLE[:4]), "steps": [20], "images": 100, "device": device})


def _grown(axis: str, device: str, changes: Mapping[int, Mapping[str, Any]], degree: int = 1) -> Row:
    runners = {n: Runner(Sweep(**{**BASE, "device": device, **change}), Path()) for n, change in changes.items()}
    _seconds(next(iter(runners.values())))  # what is made ready at first use
    times = [[_seconds(runner) for runner in runners.values()] for _ in range(REPEATS)]
    n, seconds = list(runners), [statistics.median(column) for column in zip(*times, strict=True)]
    found = fit(n, seconds, degree)
    at = ", ".join(f"{place:,}: {took:.2f} s" for place, took in zip(n, seconds, strict=True))
    curve = str(found).format(axis, axis)
    last = f"from {n[-2]:,} to {n[-1]:,} as their power {exponent(n[-2:], seconds[-2:]):.2f}"
    return Row(f"largest relative distance from {curve}", "", spread([found.off]), NEAR, ours=at, note=last)


def _seconds(runner: Runner) -> float:
    """Of making all images in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        return timed(partial(_make, runner.elsewhere(Path(folder)).extend, runner), runner.device)


def _make(make: Callable[..., Outcome], runner: Runner) -> None:
    outcome = make(runner.plan.runnable, runner.sweep.images, lambda images, cell: None)
    if outcome.failed:
        raise RuntimeError(f"nothing was measured: {outcome.failed}")


def _untrained(folder: Path, side: int) -> str:
    """The text of a backend: a small pixel-space U-Net of this side with random weights, saved as a pipeline.

    Two levels of convolutions, and self-attention over every fourth pixel between them.
    """
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

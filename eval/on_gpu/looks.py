"""Whether images are seen on the device as on the CPU, and on a second stream as on the one that samples them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...plugins.registry import build
from ..cells import samples
from ..claims import Claims
from ..making import Maker, Outcome
from ..metrics.pil_resize import byte_products, float_products, resized_bytes, resized_floats
from ..readback import SameStream
from ..runner import Runner
from ..store import Store
from ..sweep import load_sweep

PROMPTS = ["a photo of a cat", "a bright photo of a ship"]
METRICS = ["fd", "clip_score", "class_agreement", "luminance", "sharpness", "colourfulness"]
SIZES = ((40, 40), (256, 192), (512, 512))
BYTES, FLOATS, SEEN, STREAMS = 0.0, 1e-6, 1e-4, 1e-3
"""Tolerances: of bytes and floats resized as by PIL, of what observers see, of a sweep on two streams beside one."""


def looks(device: str, images: int) -> Iterator[tuple[str, float, Callable[[], float]]]:
    """What is compared, its tolerance, and the largest difference over the largest element.

    Args:
        images: of a cell of the sweep.
    """
    for size in SIZES:
        name = f"{size[0]} x {size[1]} pixels resized by PIL's weights"
        yield f"{name}, bytes", BYTES, partial(_resized, size, device, resized_bytes, byte_products)
        yield f"{name}, floats", FLOATS, partial(_resized, size, device, resized_floats, float_products)
    for metric in METRICS:
        yield f"what {metric} sees", SEEN, partial(_seen, metric, device)
    yield "a sweep looked at on a second stream, beside one on one", STREAMS, partial(_streams, device, images)


def apart(own: Tensor, there: Tensor) -> float:
    """The largest difference, over the largest element of the first."""
    own, there = own.detach().cpu().double(), there.detach().cpu().double()
    return ((own - there).abs().max() / own.abs().max()).item()


def _resized(size: tuple[int, int], device: str, own: Callable[..., Tensor], there: Callable[..., Tensor]) -> float:
    images = _images(4, size)
    return max(apart(own(images, *to), there(images.to(device), *to)) for to in ((299, 299), (224, 224)))


def _seen(metric: str, device: str) -> float:
    images, prompts = _images(8, (48, 48)), [PROMPTS[i % 2] for i in range(8)]
    own, there = (
        [torch.as_tensor(one(images.to(place), prompts)) for one in build("metric", metric).observers(place)]
        for place in ("cpu", device)
    )
    return max(map(apart, own, there))


def _streams(device: str, images: int) -> float:
    fields = {
        "samplers": ["euler", "dpmpp_2m"], "steps": [4, 7], "scales": [3], "prompts": PROMPTS, "images": images,
        "batch_size": images // 6, "shard_size": images // 3, "metrics": METRICS, "device": device,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(load_sweep(None, fields), Path(folder))
        one, two = (_made(runner, Path(folder, name), alone) for name, alone in (("one", True), ("two", False)))
    return max(apart(torch.from_numpy(rows), torch.from_numpy(two[name])) for name, rows in one.items())


def _made(runner: Runner, folder: Path, alone: bool) -> dict[str, np.ndarray[Any, Any]]:
    """All observations of a run, on the stream that samples alone or as always."""
    store, sweep = Store(folder), runner.sweep
    model = runner.prepared.load(sweep.models[0])
    with Claims(folder / "claims") as claims:
        maker, outcome = Maker(sweep, model, runner.observers, runner.device, store, claims), Outcome()
        if alone:
            maker.beside = SameStream()
        starts = range(0, sweep.images, sweep.shard_size)
        todo = [(cell, i, min(i + sweep.shard_size, sweep.images)) for cell in runner.plan.runnable for i in starts]
        maker.make(todo, partial(samples, sweep, PROMPTS), outcome, lambda images, cell: None)
    if outcome.failed:
        raise RuntimeError(f"cells failed: {outcome.failed}")
    shards = [shard for one in runner.plan.runnable for shard in store.observations(one.cell, sweep.images)]
    return {name: np.concatenate([shard[name] for shard in shards]) for name in runner.names}


def _images(count: int, size: tuple[int, int]) -> Tensor:
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

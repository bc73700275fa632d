"""Every sampler on another device against the CPU, in float64: what must hold before a time is worth anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ...plugins.registry import build, catalogue
from ...samplers.conformance.trial import distance, walk
from ...samplers.noise import SeededNoise
from ...samplers.path import Path
from ...samplers.problems import BIMODAL
from ...samplers.protocols import Sampler
from .row import Row
from .timing import spread

PROCESSES = {"VE": ("edm", "karras"), "VP": ("scaled_linear", "trailing"), "flow": ("flow", "trailing")}
STEPS, SHAPE, SEEDS = 6, (3, 8, 8), (0, 1, 2)
LIMIT = 1e-10
"""Largest difference, relative to the images, that is rounding."""


class Agreement(NamedTuple):
    """How far a device's images are from the CPU's, relative to the largest element."""

    sampler: str
    process: str
    difference: float


def rows(device: str) -> Iterator[Row]:
    """The largest difference of all samplers on each process; on the CPU there is nothing to compare."""
    found = list(agreements(device)) if device != "cpu" else []
    for process in PROCESSES if found else ():
        worst = max((one for one in found if one.process == process), key=lambda one: one.difference)
        value = spread([worst.difference])
        yield Row(
            f"every sampler on {process} in float64: largest difference", "the CPU", value, LIMIT, note=worst.sampler
        )


def agreements(device: str) -> Iterator[Agreement]:
    """Of every registered sampler that walks from noise to images, on three processes, from the same noise."""
    for name in catalogue("sampler"):
        sampler = build("sampler", name)
        if getattr(sampler, "upwards", False):
            continue
        for process, (schedule, spacing) in PROCESSES.items():
            path = Path(build("spacing", spacing)(build("schedule", schedule), STEPS))
            own, there = (_images(sampler, path, place) for place in ("cpu", device))
            yield Agreement(name, process, distance(own, there.cpu()))


def _images(sampler: Sampler, path: Path, device: str) -> Tensor:
    noise = SeededNoise(SEEDS, SHAPE, device, torch.float64)
    return walk(sampler, BIMODAL, noise.initial() * path.levels[0].norm, path, noise)

"""What a second stage starts from: an image of the first, to be drawn anew in part, or its walk where it was left."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...samplers.level import Level
from ...samplers.path import Path
from ...samplers.protocols import NoiseSchedule
from ..protocols import Sample
from .source_image import pictures, pixels

SECOND = 2**31
"""What the second stage adds to an image's seed: noise that made the image would not change it."""


class Redrawn:
    """Image to image, each from its own z: x = alpha z + sigma noise."""

    def __init__(self, z: Tensor) -> None:
        self.z = z

    def begin(self, noise: Tensor, level: Level, strength: float) -> Tensor:
        return level.alpha * self.z + level.sigma * noise

    def kept(self, x0: Tensor, times: Sequence[float]) -> Tensor:
        """Nothing is."""
        return x0


class Unfinished(Redrawn):
    """The x of each image where the first stage left it."""

    def begin(self, noise: Tensor, level: Level, strength: float) -> Tensor:
        return self.z


def until(schedule: NoiseSchedule, time: float, path: Path) -> Path:
    """The steps that start above the time, as diffusers' ``denoising_end = 1 - time``."""
    above = sum(schedule.time(level) > time + 1e-6 for level in path.levels)
    return Path(path.levels[: above + 1])


def since(level: Level, path: Path) -> Path:
    """From this level on, as diffusers' ``denoising_start``."""
    return Path([level, *(later for later in path.levels if level.noisier_than(later) and not _equal(level, later))])


def with_other_noise(samples: Sequence[Sample]) -> list[Sample]:
    return [dataclasses.replace(sample, seed=(sample.seed + SECOND) % 2**32) for sample in samples]


def same_latents(first: Any, second: Any) -> bool:
    """Whether clean latents of one model are clean latents of the other: their autoencoders are equal."""
    ours, theirs = (getattr(getattr(model, "autoencoder", None), "vae", None) for model in (first, second))
    if ours is None or theirs is None or first.shape != second.shape or _said(ours) != _said(theirs):
        return False
    one, other = ours.state_dict(), theirs.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def latents_of(images: Tensor, model: Any) -> Tensor:
    """Of images, uint8 (B, 3, H, W), made as large as the model's."""
    size = model.autoencoder.size(model.shape)
    own = torch.cat([pixels(picture, size) for picture in pictures(images)])
    return torch.cat([model.autoencoder.encode(one.to(model.device)) for one in own.split(1)])


def _said(vae: Any) -> dict[str, Any]:
    """Its configuration, without where it came from."""
    return {name: value for name, value in vae.config.items() if not name.startswith("_")}


def _equal(a: Level, b: Level) -> bool:
    return abs(a.ve_sigma - b.ve_sigma) <= 1e-6 * b.ve_sigma

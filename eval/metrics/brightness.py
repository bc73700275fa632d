"""Brightness and contrast: what zero terminal SNR and strong guidance change first.

Rec. 601 luma of the gamma-coded values, Y = (0.299 R + 0.587 G + 0.114 B) / 255, as JPEG codes it. That models without
zero terminal SNR cannot make very dark or bright images is shown by Lin et al. 2023, arXiv:2305.08891.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import settings
from .estimate import mean
from .observations import check_pixels, column

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations, Observer, Value

LUMA = "luma/rec601"


class LumaObserver:
    """Mean and standard deviation of luma over the pixels of each image, float32 (B, 2) in 0 ... 1."""

    name = LUMA

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        check_pixels(images, prompts)
        pixels = images.cpu().numpy().astype(np.float64) / 255
        luma = np.tensordot(pixels, (0.299, 0.587, 0.114), axes=(1, 0)).reshape(len(pixels), -1)
        return np.stack([luma.mean(axis=1), luma.std(axis=1)], axis=1).astype(np.float32)


@settings
class Luminance:
    """Mean luma of an image, 0 (black) to 1 (white), averaged over images."""

    higher_is_better: ClassVar[bool | None] = None
    minimum: ClassVar[int] = 2

    def observers(self, device: str) -> Sequence[Observer]:
        return [LumaObserver()]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        return mean(column(shards, LUMA)[:, 0], {"metric": "luminance", "formula": "mean Rec. 601 luma, 0 to 1"})


@settings
class Contrast:
    """Standard deviation of luma within an image, 0 (flat) to 0.5, averaged over images."""

    higher_is_better: ClassVar[bool | None] = None
    minimum: ClassVar[int] = 2

    def observers(self, device: str) -> Sequence[Observer]:
        return [LumaObserver()]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        card = {"metric": "contrast", "formula": "standard deviation of Rec. 601 luma within an image"}
        return mean(column(shards, LUMA)[:, 1], card)

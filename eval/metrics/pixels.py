"""Statistics of pixels: what guidance, zero terminal SNR and unfinished sampling change first.

Luma is Rec. 601's of the gamma-coded values, Y = (0.299 R + 0.587 G + 0.114 B) / 255, as JPEG codes it. That models
without zero terminal SNR cannot make very dark or bright images is shown by Lin et al. 2023, arXiv:2305.08891; that
strong guidance saturates by Saharia et al. 2022, arXiv:2205.11487.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import settings
from .estimate import mean
from .observations import check_pixels, column

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations, Observer, Value

LUMA, SHARPNESS, COLOUR = "luma/rec601", "sharpness/laplacian", "colour/opponent-clipped"


class PixelObserver:
    """Numbers of each image from its pixels, float32 (B, k)."""

    def __init__(self, name: str, formula: Callable[[np.ndarray], np.ndarray]) -> None:
        self.name, self.formula = name, formula

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        check_pixels(images, prompts)
        return self.formula(images.cpu().numpy().astype(np.float64)).astype(np.float32)


def luma(pixels: np.ndarray) -> np.ndarray:
    """(B, 3, H, W) in 0 ... 255 to (B, H, W) in 0 ... 1."""
    return np.tensordot(pixels / 255, (0.299, 0.587, 0.114), axes=(1, 0))


def luma_statistics(pixels: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of luma over the pixels of each image, (B, 2)."""
    flat = luma(pixels).reshape(len(pixels), -1)
    return np.stack([flat.mean(axis=1), flat.std(axis=1)], axis=1)


def sharpness(pixels: np.ndarray) -> np.ndarray:
    """Variance of the Laplacian of 255 luma, over the inner pixels, (B, 1).

    Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548. Noise raises it as detail does.
    """
    y = 255 * luma(pixels)
    laplacian = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:] - 4 * y[:, 1:-1, 1:-1]
    return laplacian.reshape(len(y), -1).var(axis=1, keepdims=True)


def colour_statistics(pixels: np.ndarray) -> np.ndarray:
    """Colourfulness, and the share of pixel values at 0 or 255, (B, 2).

    With rg = R - G and yb = (R + G) / 2 - B, colourfulness is sqrt(var rg + var yb) + 0.3 sqrt(mean^2 rg + mean^2 yb).
    Hasler, Suesstrunk 2003, doi:10.1117/12.477378.
    """
    red, green, blue = pixels.reshape(len(pixels), 3, -1).transpose(1, 0, 2)
    rg, yb = red - green, (red + green) / 2 - blue
    spread = np.sqrt(rg.var(axis=1) + yb.var(axis=1))
    shift = np.hypot(rg.mean(axis=1), yb.mean(axis=1))
    clipped = ((pixels <= 0) | (pixels >= 255)).reshape(len(pixels), -1).mean(axis=1)
    return np.stack([spread + 0.3 * shift, clipped], axis=1)


class PixelMetric:
    """The mean over images of one column of a pixel observation; a description, neither way is better."""

    higher_is_better: ClassVar[bool | None] = None
    minimum: ClassVar[int] = 2
    observed: ClassVar[tuple[str, Callable[[np.ndarray], np.ndarray], int]]
    formula: ClassVar[str]

    def observers(self, device: str) -> Sequence[Observer]:
        name, formula, _ = self.observed
        return [PixelObserver(name, formula)]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name, _, i = self.observed
        return mean(column(shards, name)[:, i], {"metric": type(self).__name__.lower(), "formula": self.formula})


@settings
class Luminance(PixelMetric):
    """Mean luma of an image, 0 (black) to 1 (white), averaged over images."""

    observed = (LUMA, luma_statistics, 0)
    formula = "mean Rec. 601 luma, 0 to 1"


@settings
class Contrast(PixelMetric):
    """Standard deviation of luma within an image, 0 (flat) to 0.5, averaged over images."""

    observed = (LUMA, luma_statistics, 1)
    formula = "standard deviation of Rec. 601 luma within an image"


@settings
class Sharpness(PixelMetric):
    """Variance of the Laplacian of luma within an image, averaged over images. doi:10.1109/ICPR.2000.903548."""

    observed = (SHARPNESS, sharpness, 0)
    formula = "variance of the four-neighbour Laplacian of 255 luma"


@settings
class Colourfulness(PixelMetric):
    """Hasler and Suesstrunk's colourfulness, 0 (grey) to 110 and more, averaged over images. doi:10.1117/12.477378."""

    observed = (COLOUR, colour_statistics, 0)
    formula = "sqrt(var rg + var yb) + 0.3 sqrt(mean^2 rg + mean^2 yb)"


@settings
class Clipping(PixelMetric):
    """Share of pixel values at 0 or 255, averaged over images: it rises when guidance burns."""

    observed = (COLOUR, colour_statistics, 1)
    formula = "share of values at 0 or 255"

"""Statistics of pixels: what guidance, zero terminal SNR and unfinished sampling change first.

Luma is Rec. 601's of the gamma-coded values, Y = (0.299 R + 0.587 G + 0.114 B) / 255, as JPEG codes it. That models
without zero terminal SNR cannot make very dark or bright images is shown by Lin et al. 2023, arXiv:2305.08891; that
strong guidance saturates by Saharia et al. 2022, arXiv:2205.11487.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ...samplers.settings import settings
from .estimate import mean
from .observations import check_pixels, column
from .precision import on_host, parts

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations, Observer, Value

LUMA, SHARPNESS, COLOUR = "luma/rec601", "sharpness/laplacian", "colour/opponent-clipped"


class PixelObserver:
    """Numbers of each image from its pixels, computed in float64 where the image is, float32 (B, k)."""

    def __init__(self, name: str, formula: Callable[[Tensor], Tensor]) -> None:
        self.name, self.formula = name, formula

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        import torch

        check_pixels(images, prompts)
        seen = images.cpu() if on_host(images.device) else images
        return torch.cat([self.formula(part).float() for part in parts(seen)])


def luma(pixels: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) to float64 (B, H, W) in 0 ... 1."""
    red, green, blue = pixels.double().unbind(1)
    return (0.299 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114).div_(255)


def mean_and_variance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row, (B,) both; in two passes, which is quicker than torch's own and as exact."""
    mean = rows.mean(dim=1, keepdim=True)
    return mean[:, 0], (rows - mean).square_().mean(dim=1)


def luma_statistics(pixels: Tensor) -> Tensor:
    """Mean and standard deviation of luma over the pixels of each image, (B, 2)."""
    import torch

    mean, variance = mean_and_variance(luma(pixels).flatten(1))
    return torch.stack([mean, variance.sqrt()], dim=1)


def sharpness(pixels: Tensor) -> Tensor:
    """Variance of the Laplacian of 255 luma, over the inner pixels, (B, 1).

    Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548. Noise raises it as detail does.
    """
    y = luma(pixels).mul_(255)
    laplacian = (y[:, :-2, 1:-1] + y[:, 2:, 1:-1]).add_(y[:, 1:-1, :-2]).add_(y[:, 1:-1, 2:])
    return mean_and_variance(laplacian.sub_(y[:, 1:-1, 1:-1], alpha=4).flatten(1))[1][:, None]


def colour_statistics(pixels: Tensor) -> Tensor:
    """Colourfulness, and the share of pixel values at 0 or 255, (B, 2).

    With rg = R - G and yb = (R + G) / 2 - B, colourfulness is sqrt(var rg + var yb) + 0.3 sqrt(mean^2 rg + mean^2 yb).
    Hasler, Suesstrunk 2003, doi:10.1117/12.477378.
    """
    import torch

    red, green, blue = pixels.double().flatten(2).unbind(1)
    (rg, rg_variance), (yb, yb_variance) = map(mean_and_variance, (red - green, (red + green).div_(2).sub_(blue)))
    spread, shift = (rg_variance + yb_variance).sqrt(), torch.hypot(rg, yb)
    clipped = ((pixels == 0) | (pixels == 255)).flatten(1).sum(dim=1).double() / pixels[0].numel()
    return torch.stack([spread + 0.3 * shift, clipped], dim=1)


class PixelMetric:
    """The mean over images of one column of a pixel observation; a description, neither way is better."""

    higher_is_better: ClassVar[bool | None] = None
    minimum: ClassVar[int] = 2
    observed: ClassVar[tuple[str, Callable[[Tensor], Tensor], int]]
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

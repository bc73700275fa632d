"""Known damage to images, at levels that rise."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

Pixels = torch.Tensor
Damage = Callable[[Pixels, float], Pixels]


def noisy(pixels: Pixels, level: float) -> Pixels:
    """Gaussian noise of this standard deviation, of 255."""
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    return (pixels + level * noise).round().clamp(0, 255).to(torch.uint8)


def blurred(pixels: Pixels, level: float) -> Pixels:
    """A Gaussian filter of this standard deviation, in pixels."""
    smooth = gaussian_filter(pixels.numpy().astype(np.float32), (0, 0, level, level))
    return torch.from_numpy(smooth).round().clamp(0, 255).to(torch.uint8)


def compressed(pixels: Pixels, level: float) -> Pixels:
    """JPEG, 4:2:0, of quality 100 - level."""

    def again(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=round(100 - level), subsampling=2)
        return np.array(Image.open(file))

    return torch.from_numpy(np.stack([again(image) for image in pixels.permute(0, 2, 3, 1).numpy()])).permute(
        0, 3, 1, 2
    )


DAMAGES: dict[str, tuple[Damage, tuple[float, ...]]] = {
    "noise, sd of 255": (noisy, (1, 2, 4, 8, 16, 32)),
    "blur, sd in pixels": (blurred, (0.3, 0.4, 0.5, 0.75, 1, 1.5)),
    "JPEG, 100 - quality": (compressed, (5, 10, 25, 50, 75, 90)),
}

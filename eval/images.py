"""Images that people look at: small previews kept with the observations, and PNG files on request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from .protocols import Sample

PREVIEW = "preview"
PREVIEWS = 10  # images of a cell that are kept for the report
PREVIEW_SIZE = 256


def preview(images: Tensor) -> Tensor:
    """uint8 (n, 3, H, W) as they are, or on their device reduced by a whole factor to at most 256 pixels a side."""
    factor = -(-max(images.shape[-2:]) // PREVIEW_SIZE)
    if factor > 1:
        from torch.nn.functional import avg_pool2d

        images = avg_pool2d(images.float(), factor).round().to(images.dtype)
    return images


def write_images(folder: Path, samples: Sequence[Sample], images: np.ndarray) -> None:
    """One PNG an image of uint8 (n, 3, H, W), named by its index."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for sample, image in zip(samples, images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{sample.index:07d}.png")

"""Images that people look at: small previews kept with the observations, and PNG files on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from .protocols import Sample

PREVIEW = "preview"
PREVIEWS = 10  # images of a cell that are kept for the report
PREVIEW_SIZE = 256


def preview(images: Tensor) -> np.ndarray:
    """uint8 (n, 3, H, W) as they are, or reduced by a whole factor to at most 256 pixels a side."""
    factor = -(-max(images.shape[-2:]) // PREVIEW_SIZE)
    if factor > 1:
        from torch.nn.functional import avg_pool2d

        images = avg_pool2d(images.float(), factor).round().to(images.dtype)
    return images.numpy()


def write_images(folder: Path, samples: list[Sample], images: Tensor) -> None:
    """One PNG an image, named by its index."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for sample, image in zip(samples, images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{sample.index:07d}.png")

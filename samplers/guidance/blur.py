"""A Gaussian blur over the last two dimensions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def blurred(image: Tensor, sigma: float, ends: int | None = None) -> Tensor:
    """Convolved with a Gaussian that ends after so many elements, by default at 4 sigma, mirrored at the edges."""
    from torch import arange
    from torch.nn.functional import conv2d, pad

    if image.ndim < 3:
        raise ValueError(f"images of shape {tuple(image.shape[1:])} cannot be blurred: they have no rows and columns")
    planes = image.reshape(-1, 1, *image.shape[-2:])
    for dim in (-2, -1):
        radius = min(math.ceil(4 * sigma) if ends is None else ends, image.shape[dim] - 1)
        places = arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
        weights = (-((places / sigma) ** 2) / 2).exp()
        kernel = (weights / weights.sum()).view((1, 1, -1, 1) if dim == -2 else (1, 1, 1, -1))
        planes = conv2d(pad(planes, (0, 0, radius, radius) if dim == -2 else (radius, radius, 0, 0), "reflect"), kernel)
    return planes.reshape(image.shape)

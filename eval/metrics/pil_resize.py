"""PIL's bicubic resizing where the images are: by PIL on the host, and on a GPU by two products with PIL's own weights.

A row of weights is the filter with a = -0.5 (Keys 1981, doi:10.1109/TASSP.1981.1163711) around the centre of an output
pixel, as wide as the scale when shrinking, cut at the border and normalised. Of floats the products are PIL's to float
rounding: 6e-5 of 255. Of bytes PIL works with integers, weights of 22 bits and bytes between the two passes, which
float64 holds exactly: bytes are PIL's to the last one. They go across first, then down, as in PIL until version 13,
which chooses by the size; some bytes depend on that, and here none on the version.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .precision import on_host, parts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

A, BITS = -0.5, 22


def resized_floats(images: Tensor, height: int, width: int) -> Tensor:
    """uint8 (B, C, H, W) to float32 (B, C, height, width), neither rounded nor clamped: PIL's mode "F"."""
    return (_floats_by_pil if on_host(images.device) else float_products)(images, height, width)


def resized_bytes(images: Tensor, height: int, width: int) -> Tensor:
    """uint8 (B, 3, H, W) to uint8 (B, 3, height, width): PIL's mode "RGB"."""
    return (_bytes_by_pil if on_host(images.device) else byte_products)(images, height, width)


def shortest_middle(images: Tensor, side: int, *, down: bool) -> Tensor:
    """uint8 (B, 3, H, W) to uint8 (B, 3, side, side): the shorter side made so long, and of the longer one the middle.

    Args:
        down: begin the middle at half of what is left over, rounded down as transformers; else to even, as torchvision.
    """
    shorter = min(images.shape[-2:])
    high, wide = (side * length // shorter for length in images.shape[-2:])
    top, left = ((rest // 2 if down else round(rest / 2)) for rest in (high - side, wide - side))
    return resized_bytes(images, high, wide)[..., top : top + side, left : left + side]


def float_products(images: Tensor, height: int, width: int) -> Tensor:
    """By PIL's weights on any device, in float32."""
    import torch

    across, down = (_weights_on(*sizes, "float32", images.device) for sizes in _sizes(images, height, width))
    return torch.cat([down @ (part.float() @ across.T) for part in parts(images)])


def byte_products(images: Tensor, height: int, width: int) -> Tensor:
    """By PIL's integers on any device, in float64."""
    import torch

    across, down = (_weights_on(*sizes, "integers", images.device) for sizes in _sizes(images, height, width))
    resized = (_bytes(down @ _bytes(part.double() @ across.T)) for part in parts(images))
    return torch.cat([part.to(torch.uint8) for part in resized])


def weights(inputs: int, outputs: int) -> np.ndarray:
    """PIL's, float64 (outputs, inputs); rows add up to one."""
    scale = inputs / outputs
    stretch = max(scale, 1.0)
    centre = ((np.arange(outputs) + 0.5) * scale)[:, None]
    first = (centre - 2 * stretch + 0.5).clip(0).astype(int)
    last = (centre + 2 * stretch + 0.5).astype(int)
    place = np.arange(inputs)
    x = abs((place - centre + 0.5) / stretch)
    near = ((A + 2) * x - (A + 3)) * x**2 + 1
    far = (((x - 5) * x + 8) * x - 4) * A
    values = np.where(x < 1, near, np.where(x < 2, far, 0.0)) * ((place >= first) & (place < last))
    return values / values.sum(axis=1, keepdims=True)


@lru_cache(maxsize=32)
def _weights_on(inputs: int, outputs: int, kind: str, device: torch.device) -> Tensor:
    import torch

    from ...samplers.moved import moved

    values = weights(inputs, outputs)
    if kind == "integers":
        values = np.trunc(values * 2**BITS + np.copysign(0.5, values))
    return moved(torch.from_numpy(values), device, torch.float32 if kind == "float32" else torch.float64)


def _sizes(images: Tensor, height: int, width: int) -> list[tuple[int, int]]:
    """Of the two passes in PIL's order: across, then down."""
    return [(images.shape[-1], width), (images.shape[-2], height)]


def _bytes(sums: Tensor) -> Tensor:
    """Rounded as PIL rounds them, in float64 as they came."""
    return (sums + 2 ** (BITS - 1)).div_(2**BITS).floor_().clamp_(0, 255)


def _floats_by_pil(images: Tensor, height: int, width: int) -> Tensor:
    import torch
    from PIL import Image

    large = np.empty((*images.shape[:2], height, width), dtype=np.float32)
    for planes, pixels in zip(large, images.cpu().numpy(), strict=True):
        for plane, channel in zip(planes, pixels, strict=True):
            small = Image.fromarray(channel.astype(np.float32))
            plane[:] = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return torch.from_numpy(large).to(images.device)


def _bytes_by_pil(images: Tensor, height: int, width: int) -> Tensor:
    import torch
    from PIL import Image

    pictures = (Image.fromarray(pixels) for pixels in images.permute(0, 2, 3, 1).cpu().numpy())
    wide = (picture.resize((width, picture.height), Image.Resampling.BICUBIC) for picture in pictures)
    resized = np.stack([np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)) for picture in wide])
    return torch.from_numpy(resized).permute(0, 3, 1, 2).to(images.device)

"""Between photographs and the space in which the generator works.

Network space is the image in -1..1 with each 2x2 square of pixels stacked into channels (pixel unshuffle):
(B, 3, 32, 32) <-> (B, 12, 16, 16). Nothing is learned and nothing is lost.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

SHAPE = (12, 16, 16)
"""Of one sample in network space."""


def encode(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (B, 3, 32, 32) -> float32 (B, 12, 16, 16) in -1..1."""
    return F.pixel_unshuffle(pixels.float() / 127.5 - 1, 2)


def decode_float(samples: torch.Tensor) -> torch.Tensor:
    """float (B, 12, 16, 16) -> float32 (B, 3, 32, 32), -1..1 where the sampler kept to it; differentiable."""
    return F.pixel_shuffle(samples.float(), 2)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """float in -1..1 -> uint8: round, clamp, then cast, for a bare cast wraps 256 to 0. NaN becomes mid-grey."""
    return ((images.float() + 1) * 127.5).nan_to_num(nan=128.0).round().clamp(0, 255).to(torch.uint8)


def decode(samples: torch.Tensor) -> torch.Tensor:
    """float (B, 12, 16, 16) -> uint8 (B, 3, 32, 32)."""
    return to_uint8(decode_float(samples))

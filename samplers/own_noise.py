"""Noise that belongs to an image and a noise level: the same in any batch, and whenever it is asked for again."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from .level import Level


def own_noise(seeds: Sequence[int], levels: Sequence[Level], purpose: str, shape: Sequence[int]) -> Tensor:
    """Unit normal (B, *shape), float32, on the CPU."""
    rows = [_drawn(f"{purpose} {seed} {level.ve_sigma!r}", shape) for seed, level in zip(seeds, levels, strict=True)]
    return torch.stack(rows) if rows else torch.empty(0, *shape)


def _drawn(text: str, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(zlib.crc32(text.encode())))

"""Noise that belongs to an image and a noise level: the same in any batch, and whenever it is asked for again."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from .level import Level


def digits(ve_sigma: float) -> str:
    """What a noise level is known by where something is drawn for it: float32 and float64 of a level are one."""
    return f"{ve_sigma:.4g}"


def own_noise(seeds: Sequence[int], levels: Sequence[Level], purpose: str, shape: Sequence[int]) -> Tensor:
    """Unit normal (B, *shape), float32, on the CPU."""
    rows = [
        _drawn(f"{purpose} {seed} {digits(level.ve_sigma)}", shape) for seed, level in zip(seeds, levels, strict=True)
    ]
    return torch.stack(rows) if rows else torch.empty(0, *shape)


def _drawn(text: str, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(zlib.crc32(text.encode())))

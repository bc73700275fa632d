"""What a U-Net predicts of overlapping parts of x, averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...samplers.level import Level
from ...samplers.perturbation import Windows
from ..protocols import Condition


def windows(model: Any, change: Windows) -> Callable[[Tensor, Sequence[Level], Condition], Tensor]:
    """
    Raises:
        ValueError: for a network that is no U-Net, whose positions it knows, or one that is told of a whole image.
    """
    if not hasattr(model.network, "down_blocks") or len(model.shape) != 3:
        raise ValueError(f"{change} needs a U-Net, which takes x of any size, not {type(model.network).__name__}")
    replay = getattr(model, "replay", None)
    if getattr(model, "source", None) is not None or (replay and (replay.beside or "channels" in replay.conditions)):
        raise ValueError(f"{change} needs a model without an image beside x, which {model.id} has")
    boxes = [
        (slice(i, i + size[0]), slice(j, j + size[1]))
        for size in [tuple(max(1, round(change.size * length)) for length in model.shape[-2:])]
        for i in starts(model.shape[-2], size[0], change.count)
        for j in starts(model.shape[-1], size[1], change.count)
    ]

    def denoise(x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        total, times = torch.zeros_like(x), x.new_zeros(x.shape[-2:])
        own = {name: torch.cat([rows] * len(boxes)) for name, rows in condition.items()}
        parts = model.denoise(torch.cat([x[..., i, j] for i, j in boxes]), list(levels) * len(boxes), own)
        for (i, j), part in zip(boxes, parts.split(len(x)), strict=True):
            total[..., i, j] += part
            times[i, j] += 1
        return total / times

    return denoise


def starts(length: int, size: int, count: int) -> list[int]:
    """Where windows of that size begin, spread evenly from one edge to the other."""
    return [round(k * (length - size) / max(count - 1, 1)) for k in range(count)]

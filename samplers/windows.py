"""Overlapping parts of an image, from edge to edge; see ``guidance.SWG``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .perturbation import Windows

Box = tuple[slice, slice]


def boxes(shape: Sequence[int], change: Windows) -> list[Box]:
    """The windows of x of this shape, rows and columns."""
    size = [max(1, round(change.size * length)) for length in shape[-2:]]
    return [
        (slice(i, i + size[0]), slice(j, j + size[1]))
        for i in starts(shape[-2], size[0], change.count)
        for j in starts(shape[-1], size[1], change.count)
    ]


def starts(length: int, size: int, count: int) -> list[int]:
    """Where windows of that size begin, spread evenly from one edge to the other."""
    return [round(k * (length - size) / max(count - 1, 1)) for k in range(count)]


def mean_of(x: Tensor, found: Sequence[Box], parts: Sequence[Tensor]) -> Tensor:
    """At each place the mean over the windows that it is in."""
    total, times = torch.zeros_like(x), x.new_zeros(x.shape[-2:])
    for (i, j), part in zip(found, parts, strict=True):
        total[..., i, j] += part
        times[i, j] += 1
    return total / times

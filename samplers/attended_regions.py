"""Which word each part of an image attends to, from the weights of attention; see ``guidance.SemanticCFG``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .attention import grid
from .guidance.blur import blurred

POWERS = 4


def words(spread: Tensor, attended: Tensor, shape: Sequence[int]) -> Tensor:
    """Cross-attention spread to places that belong together, (B, words, rows, columns), of x of this shape.

    Args:
        spread: weights of self-attention, (B, places, places).
        attended: weights of cross-attention, (B, places, words).
    """
    powers = [reduce(torch.matmul, [spread] * k) for k in range(1, POWERS + 1)]
    maps = (torch.stack(powers).mean(0) @ attended).mT
    return maps.unflatten(-1, grid(shape, maps.shape[-1]))


def regions(layers: Sequence[Tensor]) -> Tensor:
    """The word of each place and whether it is seen, (B, 2, rows, columns), on the finest of their grids."""
    finest = max((maps.shape[-2:] for maps in layers), key=lambda size: size[0] * size[1])
    smooth = [blurred(interpolate(maps, finest, mode="bilinear"), 0.5, 1) for maps in layers]
    even = torch.stack([_even(maps) for maps in smooth]).sum(0)
    start, text = (torch.stack([_even(kind(maps)) for maps in smooth]).sum(0) for kind in (_start, _text))
    return torch.cat([even.argmax(1, keepdim=True), text > start], 1).float()


def _even(maps: Tensor) -> Tensor:
    """Each over its mean."""
    return maps / maps.mean((2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)


def _start(maps: Tensor) -> Tensor:
    return maps[:, :1]


def _text(maps: Tensor) -> Tensor:
    return maps[:, 1:].sum(1, keepdim=True)

"""Weighted sums of tensors, in as few operations, and passes over memory, as torch has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ROUNDING = 1e-15


def weighted(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """sum of weights * values, in a new tensor."""
    if len(values) == 1:
        return times(values[0], weights[0])
    total = pair(values[0], values[1], weights[0], weights[1])
    for value, weight in zip(values[2:], weights[2:], strict=True):
        if weight:
            total.add_(value, alpha=weight)
    return total


def pair(x: Tensor, y: Tensor, a: float, b: float) -> Tensor:
    """a x + b y, in a new tensor; one operation where a + b = 1, as on flow and variance exploding paths, or a = 1."""
    if -ROUNDING < a + b - 1 < ROUNDING:
        return y.lerp(x, a)
    if a == 1:
        return x.add(y, alpha=b)
    if a and b:
        return times(x, a).add_(y, alpha=b)
    return times(x, a) if a else times(y, b)


def times(x: Tensor, k: float) -> Tensor:
    """k x, in a new tensor.

    A sum takes its factor as the number it is, a product makes a tensor of it first, which costs as much as the product
    of a small image. x + (k - 1) x is as exact as k x where k - 1 loses no digits.
    """
    return x.add(x, alpha=k - 1) if 0.5 <= k <= 2 else x * k


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in that dtype; ``to`` is not called in vain, as it takes as long as the arithmetic of a small image."""
    return x if x.dtype is dtype else x.to(dtype)

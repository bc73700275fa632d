"""Quantiles of many values; ``torch.quantile`` refuses more than 16 million."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def quantile(rows: Tensor, q: float) -> Tensor:
    """Of the last dimension, which stays with one element; linear between neighbours."""
    ordered, place = rows.sort(-1).values, q * (rows.shape[-1] - 1)
    low = ordered[..., int(place)]
    high = ordered[..., min(int(place) + 1, rows.shape[-1] - 1)]
    return low.lerp(high, place - int(place)).unsqueeze(-1)

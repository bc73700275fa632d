"""Calls filled up to few sizes, so that what is made for a size serves many."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..samplers.level import Level
from .protocols import Condition

Asked = tuple[Tensor, Level, Condition]
"""x (B, *shape), its level and what its rows are conditioned on."""

SIZES = 8


def unit_of(rows: int) -> int:
    """Calls are filled up to multiples of so many rows: an eighth of the images at work."""
    return max(1, rows // SIZES)


def filled(asked: Sequence[Asked], unit: int) -> list[Asked]:
    """These, and as often as rows are lacking to a multiple of ``unit`` the last row once more."""
    lacking = -sum(len(x) for x, _, _ in asked) % unit
    if not lacking:
        return list(asked)
    x, level, condition = asked[-1]
    return [*asked, (_last(x, lacking), level, {name: _last(rows, lacking) for name, rows in condition.items()})]


def _last(rows: Tensor, times: int) -> Tensor:
    return rows[-1:].expand(times, *rows.shape[1:])

"""The methods of guidance that combines cond and uncond by one formula and keeps nothing between levels.

A class that takes them, ``branches, start = of_two.branches, of_two.start``, has a ``scale``, 1 for none, and a formula
``guided(cond, uncond)``. With a setting ``space`` both predictions and the result are in that space, else they are x0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..level import Level
from .space import from_space, pair

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


def branches(self: Any, level: Level) -> tuple[str, ...]:
    return ("cond",) if self.scale == 1 else ("cond", "uncond")


def start(self: Any) -> Combine:
    space = getattr(self, "space", "x0")

    def combine(x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        if self.scale == 1:
            return predictions["cond"]
        return from_space(space, self.guided(*pair(space, predictions, x, level)), x, level)

    return combine

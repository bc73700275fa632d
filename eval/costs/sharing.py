"""What the engine answers once for all cells."""

from __future__ import annotations

import math

from ..engine import STARTS
from .counting import Branches, Counted


class Shared:
    """First requests that the engine answers once for all cells, as far as it keeps so many.

    Args:
        images: of one cell that are made before the next cell's.
    """

    def __init__(self, images: int, batch: int) -> None:
        self.batches = math.ceil(images / batch)
        self.seen: set[object] = set()

    def pays(self, counted: Counted) -> Branches:
        """The branches of its first request that the cell has to pay for itself."""
        level, branches = counted.first
        if self.batches * len(branches) > STARTS:
            return branches
        own = tuple(branch for branch in branches if (level, branch) not in self.seen)
        self.seen |= {(level, branch) for branch in own}
        return own

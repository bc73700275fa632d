"""Values of cells, each computed once for a reader that asks again, as a sweep that goes on does at each look."""

from __future__ import annotations

from typing import Any

from .cells import Cell
from .protocols import Value
from .store import Store


class Values:
    """A metric's values of cells' first images, by the metric's text, the cell and the number of images."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[tuple[str, str, int], Value] = {}

    def of(self, text: str, metric: Any, cell: Cell, images: int) -> Value:
        """What ``metric`` evaluates to, or raises."""
        key = text, cell.key, images
        if key not in self._known:
            self._known[key] = metric.evaluate(self.store.observations(cell, images))
        return self._known[key]

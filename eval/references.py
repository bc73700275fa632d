"""Reference solutions: the clean x of a fine path from the same noise, made once and kept in the store like a cell.

A reference belongs to a model, a schedule, a guidance, prompts and seeds, not to the cells measured against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .cells import Cell, Planned
from .protocols import Sample, StateObserver
from .store import Store

if TYPE_CHECKING:
    from torch import Tensor

NAME = "x0"


class Solution:
    """Keeps the clean x itself, float32 (B, *shape)."""

    name = NAME

    def reference(self, cell: Cell) -> Cell | None:
        return None

    def __call__(self, x: Tensor, solution: np.ndarray | None) -> Tensor:
        return x.float()


def references(cell: Cell, observers: Iterable[Any]) -> list[Cell]:
    """The cells that must be solved before this one is looked at."""
    found = (one.reference(cell) for one in observers if is_state(one))
    return [reference for reference in found if reference is not None]


def of_all(cells: Iterable[Planned], observers: Sequence[Any]) -> list[Planned]:
    """The references of these cells, each once."""
    found = {r.key: Planned(r, planned.backend) for planned in cells for r in references(planned.cell, observers)}
    return list(found.values())


def is_state(observer: Any) -> bool:
    """Whether an observer looks at the clean x instead of the images."""
    return hasattr(observer, "reference")


def observe(observer: StateObserver, x: Tensor, store: Store, cell: Cell, samples: Sequence[Sample]) -> Any:
    """What a state observer sees of the clean x of these samples of a cell."""
    reference = observer.reference(cell)
    return observer(x, None if reference is None else solution(store, reference, samples))


def solution(store: Store, cell: Cell, samples: Sequence[Sample]) -> np.ndarray:
    """Solutions (n, *shape) of these samples, in their order.

    Raises:
        KeyError: for a sample whose solution has not been made.
    """
    wanted, found = {sample.index for sample in samples}, dict[int, np.ndarray]()
    for shard in store.shards(cell):
        if not wanted.isdisjoint(range(shard.start, shard.stop)):
            found |= dict(
                zip(range(shard.start, shard.stop), _rows(shard.path, shard.path.stat().st_mtime_ns), strict=True)
            )
    return np.stack([found[sample.index] for sample in samples])


@lru_cache(maxsize=2)
def _rows(path: Path, changed: int) -> np.ndarray:
    """Of a shard, read once for all batches whose solutions are in it."""
    from safetensors.numpy import load_file

    return load_file(path)[NAME]

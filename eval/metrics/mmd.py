"""The unbiased squared maximum mean discrepancy over all pairs, and what each image adds to it.

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j)

It has no bias, so that values of different n compare, and can be negative. Its standard error comes from the Hajek
projection f_i = 2 (mean_j k(x_i, x_j) - mean_j k(x_i, y_j)). Gretton et al. 2012, JMLR 13, Lemma 6; Hoeffding 1948,
doi:10.1214/aoms/1177730196.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .observations import rows
from .reference import Reference

if TYPE_CHECKING:
    from ..protocols import Observations

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of rows x (a, d) and y (b, d), both float64, to (a, b)."""

BLOCK = 8_000_000  # numbers held at a time: with 256 features, 31,250 images
CHUNK = 512  # rows of a kernel matrix made at a time


class Discrepancy(NamedTuple):
    """MMD^2, and f_i up to their mean."""

    value: float
    influence: np.ndarray


def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x'y / d + 1)^3, the kernel of KID. Binkowski et al. 2018, arXiv:1801.01401."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base


def discrepancy(shards: Iterable[Observations], name: str, reference: Reference, kernel: Kernel) -> Discrepancy:
    """Of observed features ``name`` and the feature rows of a reference; quadratic in time, not in memory.

    Raises:
        ValueError: for fewer than two images, a reference without rows or of another dimension.
    """
    real = reference.features().astype(np.float64)
    near, far = [], []  # mean kernel of each image to the other images, to the reference
    n = sum(len(block) for block in rows(shards, name))
    if n < 2:
        raise ValueError(f"the kernel distance needs at least 2 images, there are {n}")
    for block in blocks(rows(shards, name)):
        if block.shape[1] != real.shape[1]:
            raise ValueError(
                f"{name} has {block.shape[1]} features, reference {reference.id} has {real.shape[1]}; use a reference "
                "made with the same extractor"
            )
        own = sum(row_sums(block, other, kernel) for other in rows(shards, name)) - diagonal(block, kernel)
        near.append(own / (n - 1))
        far.append(row_sums(block, real, kernel) / len(real))
    within, across = np.concatenate(near), np.concatenate(far)
    value = within.mean() + _within(reference, kernel) - 2 * across.mean()
    return Discrepancy(float(value), 2 * (within - across))


@lru_cache(maxsize=4)
def _within(reference: Reference, kernel: Kernel) -> float:
    """Mean kernel between two different images of the reference."""
    real = reference.features().astype(np.float64)
    total = row_sums(real, real, kernel).sum() - diagonal(real, kernel).sum()
    return float(total / (len(real) * (len(real) - 1)))


def row_sums(x: np.ndarray, y: np.ndarray, kernel: Kernel) -> np.ndarray:
    """sum_j k(x_i, y_j) for each i."""
    return np.concatenate([kernel(x[i : i + CHUNK], y).sum(axis=1) for i in range(0, len(x), CHUNK)])


def diagonal(x: np.ndarray, kernel: Kernel) -> np.ndarray:
    """k(x_i, x_i)."""
    return np.array([kernel(row[None], row[None])[0, 0] for row in x])


def blocks(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Rows in blocks of about BLOCK numbers, so that few passes over the shards are made."""
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part)
        if sum(block.size for block in held) >= BLOCK:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)

"""Balls around images: who lies in whose, and what each image adds to the shares. The definitions are in neighbours.py.

A column of numbers per image comes with each share: the membership itself, or the jackknife's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from .reference import Reference

CHUNK = 1024  # rows of a distance matrix held at a time


def precision(x: np.ndarray, reference: Reference, k: int) -> tuple[float, np.ndarray]:
    """The share, and whether each image is inside a ball."""
    inside = _balls_around(x, reference, k) > 0
    return float(inside.mean()), inside.astype(np.float64)


def density(x: np.ndarray, reference: Reference, k: int) -> tuple[float, np.ndarray]:
    """The mean, and the balls around each image, / k."""
    around = _balls_around(x, reference, k) / k
    return float(around.mean()), around


def coverage(x: np.ndarray, reference: Reference, k: int) -> tuple[float, np.ndarray]:
    """The share, and the jackknife's column: a ball is lost with an image that is alone in it."""
    real, radii = _balls(reference, k)
    count, alone = np.zeros(len(real), dtype=int), np.zeros(len(x))
    for rows, squares in _squares(real, x):
        inside = squares < radii[rows, None]
        count[rows] = inside.sum(axis=1)
        np.add.at(alone, inside[count[rows] == 1].argmax(axis=1), 1)
    return float((count > 0).mean()), (len(x) - 1) * alone / len(real)


def recall(x: np.ndarray, reference: Reference, k: int) -> tuple[float, np.ndarray]:
    """The share, and the jackknife's column.

    Without image l its own ball is gone, and balls whose k-th neighbour was at most as far as l grow to the next one.
    """
    real = reference.features().astype(np.float64)
    if len(x) < k + 2:
        raise ValueError(f"recall with k = {k} needs at least {k + 2} images, there are {len(x)}; use a smaller k")
    nearest, reach = _nearest(x, k + 1)
    radii, next_radii = reach[:, k - 1], reach[:, k]
    covered, change = 0, np.zeros(len(x))
    for _, squares in _squares(real, x):
        inside, grown = squares < radii, (squares >= radii) & (squares < next_radii)
        count = inside.sum(axis=1)
        covered += int((count > 0).sum())
        for j in np.flatnonzero(count < 2):  # with two balls around it, no single image matters
            growers = np.unique(nearest[grown[j], :k])  # images without which another ball reaches it
            if count[j]:
                owner = int(inside[j].argmax())
                change[owner] -= owner not in growers
            else:
                change[growers] += 1
    return covered / len(real), -(len(x) - 1) * change / len(real)


def _balls_around(x: np.ndarray, reference: Reference, k: int) -> np.ndarray:
    real, radii = _balls(reference, k)
    return np.concatenate([(squares < radii).sum(axis=1) for _, squares in _squares(x, real)])


@lru_cache(maxsize=4)
def _balls(reference: Reference, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Real rows in float64, and the square of the distance of each to its k-th other."""
    real = reference.features().astype(np.float64)
    if len(real) < k + 1:
        raise ValueError(
            f"k = {k} needs at least {k + 1} rows of the reference, there are {len(real)}; use a smaller k"
        )
    return real, _nearest(real, k)[1][:, k - 1]


def _nearest(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and squared distances (n, k) of the k nearest other rows of each, nearest first."""
    indices, reach = [], []
    for rows, squares in _squares(x, x):
        squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = np.inf
        some = np.argpartition(squares, k - 1, axis=1)[:, :k]
        distances = np.take_along_axis(squares, some, 1)
        order = distances.argsort(axis=1, kind="stable")
        indices.append(np.take_along_axis(some, order, 1))
        reach.append(np.take_along_axis(distances, order, 1))
    return np.concatenate(indices), np.concatenate(reach)


def _squares(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of rows of x to all of y, some rows at a time."""
    norms = (y**2).sum(axis=1)
    for start in range(0, len(x), CHUNK):
        block = x[start : start + CHUNK]
        squares = (block**2).sum(axis=1)[:, None] + norms - 2 * block @ y.T
        yield slice(start, start + len(block)), squares.clip(0)


FORMULAS = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}

"""Precision, recall, density and coverage: which images lie among the real ones, and which real ones they reach.

Around each real image y_j is a ball up to its k-th nearest other real image, and around each image x_i likewise:

    precision    share of images inside any real ball               fidelity
    density      mean number of real balls around an image, / k     fidelity, less swayed by outliers; can exceed 1
    coverage     share of real balls with an image inside           diversity
    recall       share of real images inside any image's ball       diversity

Kynkaanniemi et al. 2019, arXiv:1904.06991 (precision, recall; k = 3 there); Naeem et al. 2020, arXiv:2002.09797
(density, coverage; k = 5). For precision and density the column per image is the membership itself. For coverage and
recall it is the jackknife's: n - 1 times what the value loses without the image, which is on the safe side. Efron,
Stein 1981, doi:10.1214/aos/1176345462.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import setting, settings
from .estimate import estimate
from .features import load_extractor, stem
from .observations import column, find
from .reference import Reference, load_reference
from .towers import EMBEDDED

if TYPE_CHECKING:
    from ..protocols import Observations, Observer, Value

CHUNK = 1024  # rows of a distance matrix held at a time


class Neighbours:
    """What the four metrics share: features, reference and k."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = 8

    features: str
    reference: str
    k: int

    def observers(self, device: str) -> Sequence[Observer]:
        observer = load_extractor(self.features, device)
        load_reference(self.reference, observer.name, self.features, device).features()
        return [observer]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name, kind = find(shards, stem(self.features)), type(self).__name__.lower()
        reference = load_reference(self.reference, name, self.features)
        x = column(shards, name)
        value, influence = FORMULAS[kind](x, reference, self.k)
        card = {
            "metric": kind,
            "extractor": name.removeprefix("features/"),
            "neighbours": self.k,
            "reference": reference.id,
            "reference_rows": len(reference.features()),
            "standard_error": "over images, the reference taken as fixed",
            "bias": "depends on n and on the rows of the reference: compare only values of the same",
            **reference.card,
        }
        return estimate(value, influence, card)


@settings
class Precision(Neighbours):
    """Share of images that lie among the real ones, inside the ball of any of them. arXiv:1904.06991."""

    features: str = setting(EMBEDDED, help="embedded, inception, open_clip:<name or folder>, dinov2:<name or folder>")
    reference: str = setting(EMBEDDED, help="embedded, a folder of images, or an .npz with mu, sigma and features")
    k: int = setting(3, low=1, high=1000, help="neighbours that decide how large a ball is")


@settings
class Recall(Neighbours):
    """Share of real images that lie among these, inside the ball of any of them. arXiv:1904.06991."""

    features: str = setting(EMBEDDED, help="embedded, inception, open_clip:<name or folder>, dinov2:<name or folder>")
    reference: str = setting(EMBEDDED, help="embedded, a folder of images, or an .npz with mu, sigma and features")
    k: int = setting(3, low=1, high=1000, help="neighbours that decide how large a ball is")


@settings
class Density(Neighbours):
    """Mean number of real balls around an image, over k; can exceed 1. arXiv:2002.09797."""

    features: str = setting(EMBEDDED, help="embedded, inception, open_clip:<name or folder>, dinov2:<name or folder>")
    reference: str = setting(EMBEDDED, help="embedded, a folder of images, or an .npz with mu, sigma and features")
    k: int = setting(5, low=1, high=1000, help="neighbours that decide how large a ball is")


@settings
class Coverage(Neighbours):
    """Share of real images whose ball has an image inside. arXiv:2002.09797."""

    features: str = setting(EMBEDDED, help="embedded, inception, open_clip:<name or folder>, dinov2:<name or folder>")
    reference: str = setting(EMBEDDED, help="embedded, a folder of images, or an .npz with mu, sigma and features")
    k: int = setting(5, low=1, high=1000, help="neighbours that decide how large a ball is")


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

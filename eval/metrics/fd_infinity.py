"""The Frechet distance that infinitely many images would have.

A distance of n images is too large by about c / n, c depending on the images: two samplers can trade places between
n = 1,000 and n = 50,000. With halves of the same images, distances FD_n and FD_{n/2} give both unknowns,

    FD_inf = 2 FD_n - mean of FD_{n/2} over both halves of some random splits,

a Richardson extrapolation in 1/n. Splits are the same in every cell, so differences stay paired. As exact on average as
a line fitted through many n (Chong, Forsyth 2020, arXiv:1911.07023), with a fifth of the distances. It can be negative.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import setting, settings
from .estimate import estimate
from .frechet import frechet
from .observations import column
from .reference import Reference
from .set_metric import FEATURES, REFERENCE, SetMetric
from .towers import EMBEDDED

if TYPE_CHECKING:
    from ..protocols import Observations, Value


@settings
class FrechetInfinity(SetMetric):
    """Frechet distance extrapolated to infinitely many images, 2 FD_n - mean FD_{n/2}. After arXiv:1911.07023."""

    higher_is_better: ClassVar[bool | None] = False
    minimum: ClassVar[int] = 4

    features: str = setting(EMBEDDED, help=FEATURES)
    reference: str = setting(EMBEDDED, help=REFERENCE)
    splits: int = setting(4, low=1, high=100, help="random splits into halves")

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name, reference = self.compared(shards)
        return infinity(column(shards, name), name, reference, self.splits)


def infinity(x: np.ndarray, name: str, reference: Reference, splits: int = 4) -> Value:
    """The extrapolated distance of feature rows (n, d).

    An image adds twice what it adds to the whole, less what it adds to its halves.
    """
    whole = frechet([{name: x}], name, reference)
    random, halves, values = np.random.default_rng(0), np.zeros(len(x)), []
    for _ in range(splits):
        order = random.permutation(len(x))
        for half in (order[: len(x) // 2], order[len(x) // 2 :]):
            part = frechet([{name: x[half]}], name, reference)
            values.append(part.value)
            halves[half] += part.influence * (len(x) / len(half)) / (2 * splits)
    card = {
        **whole.card,
        "metric": "fd_inf",
        "formula": f"2 FD_n - mean FD_(n/2), {splits} random splits",
        "fd_n": whole.value,
        "bias": "removed to first order in 1/n; noisier than the distance itself, and can be negative",
    }
    return estimate(2 * whole.value - float(np.mean(values)), 2 * whole.influence - halves, card)

"""One metric in several cells that share their images, and draws from the joint distribution of its errors.

With M (N, C) the influences of N images on C values, the errors of the values have the covariance M'M / N^2. A draw is
Z = xi'M / N with xi ~ N(0, I_N): the Gaussian multiplier bootstrap, which needs no metric to be computed again. Where
the prompt is the unit, M has a row for each prompt (clusters.py). Chernozhukov, Chetverikov, Kato 2013,
arXiv:1212.6906.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .clusters import by_cluster

if TYPE_CHECKING:
    from ..protocols import Value

DRAWS = 4000
"""Of which 5 % leave the 95 % quantile uncertain by 0.3 % of probability."""
CHUNK = 250  # draws made at a time: 20 MB for 10,000 images


@dataclasses.dataclass(frozen=True, eq=False)
class Joint:
    """Values of one metric in C cells and the influence of each of N common images, or prompts, on them."""

    cells: tuple[str, ...]
    values: np.ndarray
    """(C,)."""
    influences: np.ndarray
    """float64 (N, C), each column of mean 0."""
    images: int
    """As many as all rows are of."""

    @classmethod
    def of(cls, values: Mapping[str, Value], cluster: np.ndarray | None = None) -> Joint:
        """
        Args:
            cluster: the prompt of each image, where prompts are the rows.

        Raises:
            ValueError: if values are of different numbers of images, naming them; for a single prompt.
        """
        sizes = {cell: len(value.influence) for cell, value in values.items()}
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{cell} of {n}" for cell, n in sizes.items())
            raise ValueError(f"values of different numbers of images are not compared: {said}")
        columns = np.stack([np.asarray(value.influence, dtype=np.float64) for value in values.values()], axis=1)
        rows = by_cluster(columns - columns.mean(axis=0), cluster)
        numbers = np.array([value.value for value in values.values()], dtype=np.float64)
        return cls(tuple(values), numbers, rows, len(columns))

    @cached_property
    def errors(self) -> np.ndarray:
        """``draws`` of the values' errors, the same for all that is asked about them."""
        return draws(self.influences)


def draws(influences: np.ndarray, count: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(count, C) draws of the errors of C values; a cell's draws do not depend on which others there are."""
    rng, n = np.random.default_rng(seed), len(influences)
    scale = 1 / np.sqrt(n * max(n - 1, 1))  # the unbiased variance, as in every standard error here
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    return np.concatenate([rng.standard_normal((size, n)) @ influences for size in sizes]) * scale

"""What one draw of the data is: an image, or a prompt with all its images.

With the prompts of a sweep taken as they are, images are drawn. To speak of prompts like these, the prompts are: images
of one prompt err together, a lucky prompt lifts them all. With F_g the sum of the influences f_i over prompt g,

    se^2 = G / (G - 1) sum_g F_g^2 / N^2,    G prompts, N images, Student's t with G - 1 degrees of freedom

which is the error of the mean of c_g = (G / N) F_g over prompts, so that whatever is computed from one row an image is
computed from one row a prompt. Liang, Zeger 1986, doi:10.1093/biomet/73.1.13; Miller 2024, arXiv:2411.00640.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.95


class Interval(NamedTuple):
    """Standard error of a value, and the 95 % interval around it."""

    se: float
    low: float
    high: float


def clusters(prompts: Sequence[str], images: int) -> np.ndarray:
    """(images,) the number of the prompt of each image; image i has prompt i modulo their number."""
    _, number = np.unique(list(prompts), return_inverse=True)
    return np.resize(number, images)


def by_cluster(influences: np.ndarray, cluster: np.ndarray | None) -> np.ndarray:
    """Rows c_g (G, ...) of influences (N, ...), from the cluster of each image; without clusters they stay as they are.

    Raises:
        ValueError: for fewer than two clusters.
    """
    if cluster is None:
        return influences
    _, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError("intervals over prompts need at least 2 prompts among the images; use intervals: images")
    sums = np.zeros((len(sizes), *influences.shape[1:]))
    np.add.at(sums, place, influences)
    return sums * (len(sizes) / len(influences))


def interval(value: float, influence: np.ndarray, cluster: np.ndarray | None = None) -> Interval:
    """Of a value with the influence (N,) of each image on it; nan for a single one."""
    rows = by_cluster(np.asarray(influence, dtype=np.float64), cluster)
    n = len(rows)
    if n < 2:
        return Interval(np.nan, np.nan, np.nan)
    se = float(rows.std(ddof=1) / np.sqrt(n))
    half = float(special.stdtrit(n - 1, (1 + LEVEL) / 2)) * se
    return Interval(se, value - half, value + half)

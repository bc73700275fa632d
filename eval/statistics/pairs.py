"""Paired differences: two cells on the same images differ by far less than two cells on their own images.

    d = v_a - v_b,    se = sd(f_a - f_b) / sqrt(N),    gain = (var f_a + var f_b) / var(f_a - f_b)

The gain is how many times more images an unpaired comparison would need for the same certainty: 1 for unrelated cells,
hundreds for two samplers that follow the same trajectory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .joint import Joint

ROUNDING = 1e-6
"""Influences are float32: a spread of differences below this share of the cells' own means equal images."""


class Pairs(NamedTuple):
    """All pairs a < b of the cells of a joint, C (C - 1) / 2 each."""

    a: np.ndarray
    b: np.ndarray
    difference: np.ndarray
    """v_a - v_b."""
    se: np.ndarray
    gain: np.ndarray
    """Inf for cells whose images all count the same."""


def pairs(joint: Joint) -> Pairs:
    """Differences of all pairs, their standard errors and what pairing gains; two images or more.

    The spread of a difference is computed from the differences themselves, not from variances and a covariance, which
    cancel when cells are nearly equal.
    """
    n, c = joint.influences.shape
    if n < 2:
        raise ValueError(f"a comparison needs at least 2 images, there are {n}")
    columns = np.ascontiguousarray(joint.influences.T)
    own = _variances(columns)
    first, second = np.triu_indices(c, 1)
    spread = np.concatenate([_variances(columns[i] - columns[i + 1 :]) for i in range(c - 1)] or [np.empty(0)])
    unpaired = own[first] + own[second]
    same = spread <= ROUNDING**2 * unpaired
    spread[same] = 0.0
    difference = joint.values[first] - joint.values[second]
    size = np.abs(joint.values[first]) + np.abs(joint.values[second])
    difference[same & (np.abs(difference) <= ROUNDING * size)] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(spread > 0, unpaired / spread, np.where(unpaired > 0, np.inf, np.nan))
    return Pairs(first, second, difference, np.sqrt(spread / n), gain)


def _variances(columns: np.ndarray) -> np.ndarray:
    """Of rows whose mean is 0, as that of influences is."""
    return np.einsum("ij,ij->i", columns, columns) / (columns.shape[1] - 1)

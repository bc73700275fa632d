"""The Frechet distance of two Gaussians, its exact square root, and what each sample adds to it.

    FD = |m - m_r|^2 + tr S + tr S_r - 2 tr (H S H)^(1/2),    H = S_r^(1/2)

With S = B'B the last trace is the sum of the singular values of B H: never complex, and without squaring, so that small
eigenvalues keep their digits. The usual root of the product S S_r is neither. Dowson, Landau 1982,
doi:10.1016/0047-259X(82)90077-X; Heusel et al. 2017, arXiv:1706.08500, eq. 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

EXACT = 1024  # largest dimension whose singular values are computed directly; above, eigenvalues of H S H: 3x faster


class Moments:
    """Mean and scatter of rows that come in blocks, in float64, whatever the offset of the data.

    Blocks are merged around their own means. Chan, Golub, LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    """

    def __init__(self, blocks: Iterable[np.ndarray] = ()) -> None:
        self.n = 0
        for block in blocks:
            self.add(block)

    def add(self, block: np.ndarray) -> None:
        """Take in rows (b, d)."""
        if not len(block):
            return
        block = np.asarray(block, dtype=np.float64)
        if not self.n:
            self.mean = np.zeros(block.shape[1])
            self.scatter = np.zeros((block.shape[1],) * 2)
        mean = block.mean(axis=0)
        centred, shift = block - mean, mean - self.mean
        total = self.n + len(block)
        self.scatter += centred.T @ centred + np.outer(shift, shift) * (self.n * len(block) / total)
        self.mean = self.mean + shift * (len(block) / total)
        self.n = total

    @property
    def cov(self) -> np.ndarray:
        """Unbiased covariance (d, d)."""
        return self.scatter / (self.n - 1)


def root(cov: np.ndarray) -> np.ndarray:
    """The symmetric root of a positive semidefinite matrix; eigenvalues below its precision count as zero."""
    values, vectors = np.linalg.eigh(cov)
    values[values < values[-1] * len(values) * np.finfo(np.float64).eps] = 0
    return (vectors * np.sqrt(values)) @ vectors.T


class Transport(NamedTuple):
    """``trace`` is tr (H S H)^(1/2); ``factor`` P (d, k) has P P' = H (H S H)^(-1/2) H, the optimal transport map."""

    trace: float
    factor: np.ndarray


def transport(cov: np.ndarray, reference_root: np.ndarray, centred: np.ndarray | None = None) -> Transport:
    """From N(., S) to N(., S_r). ``centred`` rows (n, d), if given, are used in place of S: best when n < d."""
    if centred is not None:
        factor = centred / np.sqrt(len(centred) - 1)
    else:
        factor = root(cov) if len(cov) <= EXACT else None
    if factor is not None:
        _, values, vectors = np.linalg.svd(factor @ reference_root, full_matrices=False)
    else:
        squares, columns = np.linalg.eigh(reference_root @ cov @ reference_root)
        values, vectors = np.sqrt(squares.clip(0)), columns.T
    kept = values > values.max() * 1e-8
    return Transport(float(values.sum()), (reference_root @ vectors[kept].T) / np.sqrt(values[kept]))


def trace_alone(cov: np.ndarray, reference_root: np.ndarray) -> float:
    """``transport(...).trace`` without the factor, from eigenvalues alone: for distances without standard errors."""
    if len(cov) <= EXACT:
        return float(np.linalg.svd(root(cov) @ reference_root, compute_uv=False).sum())
    squares = np.linalg.eigvalsh(reference_root @ cov @ reference_root)
    return float(np.sqrt(squares.clip(0)).sum())


def distance(
    mean: np.ndarray, cov: np.ndarray, reference_mean: np.ndarray, reference_cov: np.ndarray, trace: float
) -> float:
    """The formula above; exactly 0 for equal moments."""
    if np.array_equal(mean, reference_mean) and np.array_equal(cov, reference_cov):
        return 0.0
    shift = mean - reference_mean
    return max(0.0, float(shift @ shift + np.trace(cov) + np.trace(reference_cov) - 2 * trace))


def influence(block: np.ndarray, mean: np.ndarray, reference_mean: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """f_i = 2 (m - m_r)'(x_i - m) + (x_i - m)'(I - P P')(x_i - m), up to its mean over all rows.

    The derivative of FD in the direction of one more sample: dFD = 2 (m - m_r)'dm + tr((I - P P') dS).
    """
    centred = block - mean
    return 2 * centred @ (mean - reference_mean) + (centred**2).sum(axis=1) - ((centred @ factor) ** 2).sum(axis=1)

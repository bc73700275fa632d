"""The Frechet distance of two Gaussians, its exact square root, and what each sample adds to it.

    FD = |m - m_r|^2 + tr S + tr S_r - 2 tr (F' S F)^(1/2),    F F' = S_r

for any factor F of the reference's covariance: F' S F and F_2' S F_2 are similar, and so are the maps F (F' S F)^(-1/2)
F' the same. A triangular F halves the products. With S = B'B the last trace is the sum of the singular values of B F:
never complex, and without squaring, so that small eigenvalues keep their digits. The usual root of the product S S_r is
neither. Dowson, Landau 1982, doi:10.1016/0047-259X(82)90077-X; Heusel et al. 2017, arXiv:1706.08500, eq. 6.

SciPy is imported where it is called: whoever only lists metrics does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

EXACT = 1024  # largest dimension whose singular values are computed directly; above, eigenvalues of F' S F: 3x faster


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
        from scipy.linalg.blas import dsyrk

        if not len(block):
            return
        block = np.asarray(block, dtype=np.float64)
        if not self.n:
            self.mean = np.zeros(block.shape[1])
            self._lower = np.zeros((block.shape[1],) * 2, order="F")
        mean = block.mean(axis=0)
        centred, shift = block - mean, mean - self.mean
        total = self.n + len(block)
        rows = np.vstack([centred, shift * np.sqrt(self.n * len(block) / total)])
        self._lower = dsyrk(1.0, rows.T, beta=1.0, c=self._lower, lower=1, overwrite_c=1)
        self.mean = self.mean + shift * (len(block) / total)
        self.n = total

    @property
    def cov(self) -> np.ndarray:
        """Unbiased covariance (d, d)."""
        return (self._lower + np.tril(self._lower, -1).T) / (self.n - 1)


class Factor(NamedTuple):
    """F (d, d) with F F' = S, triangular or not."""

    matrix: np.ndarray
    lower: bool

    def gram(self, cov: np.ndarray) -> np.ndarray:
        """F' S F, its lower triangle alone if F is triangular."""
        from scipy.linalg.lapack import dsygst

        if self.lower:
            return dsygst(cov, self.matrix, itype=2, lower=1)[0]
        return self.matrix.T @ cov @ self.matrix

    def times(self, columns: np.ndarray) -> np.ndarray:
        """F M."""
        from scipy.linalg.blas import dtrmm

        return dtrmm(1.0, self.matrix, columns, lower=1) if self.lower else self.matrix @ columns


def factor(cov: np.ndarray) -> Factor:
    """Cholesky's; of a matrix that is singular to its precision, the symmetric root."""
    from scipy.linalg.lapack import dpocon, dpotrf

    lower, failed = dpotrf(cov, lower=1, clean=1)
    if not failed and dpocon(lower, np.abs(cov).sum(0).max(), uplo="L")[0] > len(cov) * np.finfo(np.float64).eps:
        return Factor(lower, True)
    return Factor(root(cov), False)


def root(cov: np.ndarray) -> np.ndarray:
    """The symmetric root of a positive semidefinite matrix; eigenvalues below its precision count as zero."""
    values, vectors = np.linalg.eigh(cov)
    values[values < values[-1] * len(values) * np.finfo(np.float64).eps] = 0
    return (vectors * np.sqrt(values)) @ vectors.T


class Transport(NamedTuple):
    """``trace`` is tr (F' S F)^(1/2); ``form`` is lower triangular, with x' form x = x'(I - A)x for every x.

    A = F (F' S F)^(-1/2) F' is the optimal transport map. A quadratic form of one triangle takes half the products.
    """

    trace: float
    form: np.ndarray


def transport(cov: np.ndarray, reference: Factor, centred: np.ndarray | None = None) -> Transport:
    """From N(., S) to N(., S_r). ``centred`` rows (n, d), if given, are used in place of S: best when n < d."""
    from scipy.linalg import eigh

    if centred is not None or len(cov) <= EXACT:
        rows = factor(cov).matrix.T if centred is None else centred / np.sqrt(len(centred) - 1)
        _, values, vectors = np.linalg.svd(rows @ reference.matrix, full_matrices=False)
        vectors = vectors.T
    else:
        squares, vectors = eigh(reference.gram(cov), overwrite_a=True, check_finite=False, driver="evd")
        values = np.sqrt(squares.clip(0))
    kept = values > values.max() * 1e-8
    half = reference.times(vectors[:, kept] / np.sqrt(values[kept]))
    form = np.tril(half @ half.T)
    form *= -2
    np.fill_diagonal(form, 1 + form.diagonal() / 2)
    return Transport(float(values.sum()), form)


def trace_alone(cov: np.ndarray, reference: Factor) -> float:
    """``transport(...).trace`` without the map, from eigenvalues alone: for distances without standard errors."""
    if len(cov) <= EXACT:
        return float(np.linalg.svd(factor(cov).matrix.T @ reference.matrix, compute_uv=False).sum())
    squares = np.linalg.eigvalsh(reference.gram(cov))
    return float(np.sqrt(squares.clip(0)).sum())


def distance(
    mean: np.ndarray, cov: np.ndarray, reference_mean: np.ndarray, reference_cov: np.ndarray, trace: float
) -> float:
    """The formula above; exactly 0 for equal moments."""
    if np.array_equal(mean, reference_mean) and np.array_equal(cov, reference_cov):
        return 0.0
    shift = mean - reference_mean
    return max(0.0, float(shift @ shift + np.trace(cov) + np.trace(reference_cov) - 2 * trace))


def influence(block: np.ndarray, mean: np.ndarray, reference_mean: np.ndarray, form: np.ndarray) -> np.ndarray:
    """f_i = 2 (m - m_r)'(x_i - m) + (x_i - m)'(I - A)(x_i - m), up to its mean over all rows.

    The derivative of FD in the direction of one more sample: dFD = 2 (m - m_r)'dm + tr((I - A) dS).
    """
    from scipy.linalg.blas import dtrmm

    centred = block - mean
    products = dtrmm(1.0, form.T, centred.T).T
    return 2 * centred @ (mean - reference_mean) + np.einsum("ij,ij->i", products, centred)

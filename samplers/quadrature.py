"""Nodes of Gauss, Radau and Lobatto in [0, 1], and integrals of the polynomials that are 1 at one node, 0 at the rest.

Nodes that are not given ends are the zeros of a Jacobi polynomial, and those the eigenvalues of a symmetric tridiagonal
matrix. Golub, Welsch 1969, doi:10.1090/S0025-5718-69-99647-1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def gauss(count: int) -> list[float]:
    """No end is a node."""
    return _zeros(count, 0, 0)


def radau_left(count: int) -> list[float]:
    """0 is a node."""
    return [0.0, *_zeros(count - 1, 0, 1)]


def radau_right(count: int) -> list[float]:
    """1 is a node."""
    return [*_zeros(count - 1, 1, 0), 1.0]


def lobatto(count: int) -> list[float]:
    """0 and 1 are nodes."""
    return [0.0, *_zeros(count - 2, 1, 1), 1.0]


def integrals(nodes: Sequence[float], end: float) -> list[float]:
    """Of each node's polynomial from 0 to the end, by Gauss's rule, which is exact and loses no digits."""
    places = gauss(len(nodes) // 2 + 1)
    weights = _gauss_weights(places)
    return [
        end * sum(weight * _lagrange(nodes, j, end * place) for place, weight in zip(places, weights, strict=True))
        for j in range(len(nodes))
    ]


def _gauss_weights(places: Sequence[float]) -> list[float]:
    """1 / sum over k of (2k + 1) P_k^2, P_k Legendre's polynomials."""
    weights = []
    for place in places:
        x, before, now, total = 2 * place - 1, 0.0, 1.0, 0.0
        for k in range(len(places)):
            total += (2 * k + 1) * now * now
            before, now = now, ((2 * k + 1) * x * now - k * before) / (k + 1)
        weights.append(1 / total)
    return weights


def _lagrange(nodes: Sequence[float], j: int, place: float) -> float:
    return math.prod((place - other) / (nodes[j] - other) for i, other in enumerate(nodes) if i != j)


def _zeros(count: int, a: int, b: int) -> list[float]:
    """Of the polynomial of that degree orthogonal under (1 - c)^a c^b, ascending."""
    if not count:
        return []
    ab = a + b
    diagonal = [(b * b - a * a) / ((2 * n + ab) * (2 * n + ab + 2)) if ab else 0.0 for n in range(count)]
    beside = [
        math.sqrt(4 * n * (n + a) * (n + b) * (n + ab) / ((2 * n + ab) ** 2 * (2 * n + ab + 1) * (2 * n + ab - 1)))
        for n in range(1, count)
    ]
    return [(1 + _eigenvalue(k, diagonal, [0.0, *beside])) / 2 for k in range(count)]


def _eigenvalue(k: int, diagonal: Sequence[float], beside: Sequence[float]) -> float:
    """The k-th from below, in [-1, 1], by halving; Barth, Martin, Wilkinson 1967, doi:10.1007/BF02162154."""
    low, high = -1.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _below(middle, diagonal, beside) <= k else (low, middle)
    return middle


def _below(x: float, diagonal: Sequence[float], beside: Sequence[float]) -> int:
    """How many eigenvalues are less than x: as many as negative pivots."""
    count, pivot = 0, 1.0
    for d, e in zip(diagonal, beside, strict=True):
        pivot = d - x - e * e / pivot or 1e-300
        count += pivot < 0
    return count

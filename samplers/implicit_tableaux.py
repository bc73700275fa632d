"""Implicit Runge-Kutta methods as numbers: where the stages stand, and the weights of all stages in each and the step.

Collocation methods follow from their nodes alone: each stage, and the step, integrates the polynomial through the
values at all nodes. Gauss-Legendre with s nodes has order 2s, Radau IIA 2s - 1, Lobatto IIIA 2s - 2. Hairer, Wanner
1996, doi:10.1007/978-3-642-05221-7, section IV.5. Diagonally implicit: Crouzeix 1975, Nørsett 1974 (crouzeix_2);
Qin, Zhang 1992; Pareschi, Russo 2005, doi:10.1007/s10915-004-4636-4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .linear_multistep import exact
from .tableau import Rows


class Method(NamedTuple):
    """Order once the stages are solved for, shares of the step where they stand, z to rows of weights (sums 1).

    A stage at share 0 is the start of the step and has no row; the last row is the step's.
    """

    order: int
    shares: tuple[float, ...]
    rows: Callable[[float], Rows]


def collocation(order: int, *nodes: float) -> Method:
    """The rows of a method that is exact for polynomials through its nodes, under the form's weight e^((1 - tau) z)."""
    stages = [share for share in nodes if share]
    return Method(order, nodes, lambda z: [exact([c / r for c in nodes], r * z) for r in (*stages, 1.0)])


def diagonal(order: int, *rows: Sequence[float]) -> Method:
    """A Butcher matrix of lower triangles and b, for forms without a weight."""
    shares = tuple(sum(row) for row in rows[:-1])
    weights = [[a / sum(row) for a in (*row, *[0.0] * (len(shares) - len(row)))] for row in rows]
    return Method(order, shares, lambda z: weights)


def _symmetric(*offsets: float) -> list[float]:
    """Nodes in [0, 1] from their distances from the middle, 0 once, in units of the half."""
    return sorted({0.5 + sign * offset / 2 for offset in offsets for sign in (-1, 1)})


_FOUR = [math.sqrt(3 / 7 + sign * 2 / 7 * math.sqrt(6 / 5)) for sign in (-1, 1)]
_FIVE = [math.sqrt(5 + sign * 2 * math.sqrt(10 / 7)) / 3 for sign in (-1, 1)]
_ROOT_3, _ROOT_6 = math.sqrt(3), math.sqrt(6)

COLLOCATION = {
    "gauss_legendre_2": collocation(4, *_symmetric(math.sqrt(1 / 3))),
    "gauss_legendre_3": collocation(6, *_symmetric(0.0, math.sqrt(3 / 5))),
    "gauss_legendre_4": collocation(8, *_symmetric(*_FOUR)),
    "gauss_legendre_5": collocation(10, *_symmetric(0.0, *_FIVE)),
    "radau_iia_2": collocation(3, 1 / 3, 1.0),
    "radau_iia_3": collocation(5, (4 - _ROOT_6) / 10, (4 + _ROOT_6) / 10, 1.0),
    "lobatto_iiia_2": collocation(2, 0.0, 1.0),
    "lobatto_iiia_3": collocation(4, 0.0, 0.5, 1.0),
    "lobatto_iiia_4": collocation(6, 0.0, *_symmetric(math.sqrt(1 / 5)), 1.0),
}

METHODS = {
    **COLLOCATION,
    "crouzeix_2": diagonal(3, [(3 + _ROOT_3) / 6], [-_ROOT_3 / 3, (3 + _ROOT_3) / 6], [1 / 2, 1 / 2]),
    "qin_zhang_2": diagonal(2, [1 / 4], [1 / 2, 1 / 4], [1 / 2, 1 / 2]),
    "pareschi_russo_2": diagonal(2, [1 - math.sqrt(1 / 2)], [math.sqrt(2) - 1, 1 - math.sqrt(1 / 2)], [1 / 2, 1 / 2]),
}

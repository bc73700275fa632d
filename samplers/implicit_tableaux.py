"""Implicit Runge-Kutta methods as numbers: where the stages stand, and the weights of all stages in each and the step.

Those of Gauss, Radau and Lobatto follow from their nodes. Collocation (Gauss-Legendre, Radau IIA, Lobatto IIIA)
integrates the polynomial through all stages from 0 to each; Radau IA and Lobatto IIIB are the ``adjoint`` of the
collocation at their nodes; Lobatto IIIC* leaves the last stage out of every stage, IIIC is its adjoint and IIID the
mean of both. With s nodes the order is 2s for Gauss-Legendre, 2s - 1 for Radau, 2s - 2 for Lobatto. Hairer, Wanner
1996, doi:10.1007/978-3-642-05221-7, section IV.5; Jay 2015, doi:10.1007/978-3-540-70529-1_123 (IIIC*, IIID).

Diagonally implicit: Crouzeix 1975, Nørsett 1974 (crouzeix_2); Qin, Zhang 1992; Pareschi, Russo 2005,
doi:10.1007/s10915-004-4636-4; Alexander 1977, doi:10.1137/0714068.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .linear_multistep import exact
from .quadrature import gauss, integrals, lobatto, radau_left, radau_right
from .tableau import Rows


class Method(NamedTuple):
    """Order once the stages are solved for, shares of the step where they stand, Butcher's a and below it b.

    A stage at share 0 whose row is 0 is the start of the step.
    """

    order: int
    shares: tuple[float, ...]
    matrix: Rows


def collocation(order: int, nodes: Sequence[float]) -> Method:
    return Method(order, tuple(nodes), [integrals(nodes, end) for end in (*nodes, 1.0)])


def adjoint(method: Method) -> Method:
    """The method with b_i a_ij + b_j a'_ji = b_i b_j, a' that of the given one."""
    *a, b = method.matrix
    stages = range(len(b))
    return Method(method.order, method.shares, [*([b[j] * (1 - a[j][i] / b[i]) for j in stages] for i in stages), b])


def lobatto_iiic_star(count: int) -> Method:
    nodes = lobatto(count)
    rows = [[*integrals(nodes[:-1], end), 0.0] for end in nodes]
    return Method(2 * count - 2, tuple(nodes), [*rows, integrals(nodes, 1.0)])


def lobatto_iiid(count: int) -> Method:
    one = lobatto_iiic_star(count)
    other = adjoint(one)
    rows = [[(p + q) / 2 for p, q in zip(*pair, strict=True)] for pair in zip(one.matrix, other.matrix, strict=True)]
    return Method(one.order, one.shares, rows)


def diagonal(order: int, *rows: Sequence[float]) -> Method:
    """Rows of a up to the diagonal, and b."""
    stages = len(rows) - 1
    return Method(order, tuple(sum(row) for row in rows[:-1]), [[*row, *[0.0] * (stages - len(row))] for row in rows])


def exponential(nodes: Sequence[float], z: float) -> Rows:
    """Collocation under the weight e^((1 - tau) z), as shares of the weight's integral over the step."""
    rows = ((end, exact([node / end for node in nodes], end * z)) for end in (*nodes, 1.0) if end)
    moved = [[math.expm1(-end * z) / math.expm1(-z) * weight for weight in row] for end, row in rows]
    return moved if nodes[0] else [[0.0] * len(nodes), *moved]


_ROOT_2, _ROOT_3 = math.sqrt(2), math.sqrt(3)
_FAMILIES = (2, 3, 4)

COLLOCATION = {
    **{f"gauss_legendre_{s}": collocation(2 * s, gauss(s)) for s in (2, 3, 4, 5)},
    **{f"radau_iia_{s}": collocation(2 * s - 1, radau_right(s)) for s in (2, 3, 5)},
    **{f"lobatto_iiia_{s}": collocation(2 * s - 2, lobatto(s)) for s in _FAMILIES},
}

METHODS = {
    **COLLOCATION,
    **{f"radau_iia_{s}": collocation(2 * s - 1, radau_right(s)) for s in (7, 9, 11)},
    **{f"radau_ia_{s}": adjoint(collocation(2 * s - 1, radau_left(s))) for s in (2, 3)},
    **{f"lobatto_iiib_{s}": adjoint(COLLOCATION[f"lobatto_iiia_{s}"]) for s in (3, 4)},
    **{f"lobatto_iiic_{s}": adjoint(lobatto_iiic_star(s)) for s in _FAMILIES},
    **{f"lobatto_iiic_star_{s}": lobatto_iiic_star(s) for s in _FAMILIES},
    **{f"lobatto_iiid_{s}": lobatto_iiid(s) for s in _FAMILIES},
    "crouzeix_2": diagonal(3, [(3 + _ROOT_3) / 6], [-_ROOT_3 / 3, (3 + _ROOT_3) / 6], [1 / 2, 1 / 2]),
    "qin_zhang_2": diagonal(2, [1 / 4], [1 / 2, 1 / 4], [1 / 2, 1 / 2]),
    "pareschi_russo_2": diagonal(2, [1 - _ROOT_2 / 2], [_ROOT_2 - 1, 1 - _ROOT_2 / 2], [1 / 2, 1 / 2]),
    "alexander_2": diagonal(2, [1 - _ROOT_2 / 2], [_ROOT_2 / 2, 1 - _ROOT_2 / 2], [_ROOT_2 / 2, 1 - _ROOT_2 / 2]),
}

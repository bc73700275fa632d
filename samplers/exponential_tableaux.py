"""Exponential Runge-Kutta methods as weights of x0, functions of z = -h, and the order each converges with.

Most of a method is interpolation: a stage integrates exactly the polynomial through the x0 of s and of some stages
before it. What is more than that is written out; phi_k: see ``phi``.

Cox, Matthews 2002, doi:10.1006/jcph.2002.6995; Krogstad 2005, doi:10.1016/j.jcp.2004.08.006; Strehmel, Weiner 1992, and
Hochbruck, Ostermann 2005, doi:10.1137/040611434; Celledoni, Marthinsen, Owren 2003, doi:10.1016/S0167-739X(02)00161-9;
Luan, Ostermann 2014, J. Comput. Appl. Math. 256, 168; Luan 2021, doi:10.1007/s10543-020-00834-z.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .linear_multistep import exact
from .phi import phi
from .tableau import Rows, Tableau

FARTHEST = 0.6


class Method(NamedTuple):
    """A tableau and the order it converges with."""

    order: int
    tableau: Tableau


def interpolating(*stages: tuple[float, tuple[int, ...]], end: tuple[int, ...]) -> Tableau:
    """Stages 2, 3, ... as (share of the step, earlier stages interpolated beside the first), and those of the end."""
    shares = tuple(share for share, _ in stages)

    def rows(z: float) -> Rows:
        return [_row(shares[:i], *stage, z) for i, stage in enumerate((*stages, (1.0, end))) if i]

    return Tableau(shares, rows)


def _row(shares: tuple[float, ...], share: float, nodes: tuple[int, ...], z: float) -> list[float]:
    """The weights of stages 2, 3, ... at ``shares`` in a stage at ``share`` that interpolates some of them."""
    weights = exact([0.0, *(shares[node - 2] / share for node in nodes)], share * z)
    row = [0.0] * len(shares)
    for node, weight in zip(nodes, weights[1:], strict=True):
        row[node - 2] = weight
    return row


@lru_cache(maxsize=2**12)
def refined_2(c2: float) -> Tableau:
    """Two stages: x0 linear between s and the share c2 of the step."""
    return interpolating((c2, ()), end=(2,))


@lru_cache(maxsize=2**12)
def third_order(c2: float, c3: float) -> Tableau:
    """Three stages at 0 < c2 < c3 <= 1, third order also for stiff problems (Hochbruck, Ostermann 2005, section 5.2).

    a_32 = gamma c2 phi_2(c2 z) + c3^2 / c2 phi_2(c3 z),    (b_2, b_3) = (gamma, 1) phi_2 / (gamma c2 + c3),
    2 (gamma c2 + c3) = 3 (gamma c2^2 + c3^2)

    gamma grows without bound as c2 nears 2/3; from ``FARTHEST`` on it is 0, which is second order.
    """
    gamma = c3 * (3 * c3 - 2) / (c2 * (2 - 3 * c2)) if c2 < FARTHEST else 0.0

    def rows(z: float) -> Rows:
        a32 = (gamma * c2 * phi(2, c2 * z) + c3 * c3 / c2 * phi(2, c3 * z)) / (c3 * phi(1, c3 * z))
        b3 = phi(2, z) / phi(1, z) / (gamma * c2 + c3)
        return [(a32,), (gamma * b3, b3)]

    return Tableau((c2, c3), rows)


def _cox_matthews_3(z: float) -> Rows:
    p1, p2, p3 = phi(1, z), phi(2, z), phi(3, z)
    return [(2.0,), ((4 * p2 - 8 * p3) / p1, (4 * p3 - p2) / p1)]


def _cox_matthews(z: float) -> Rows:
    return [(1.0,), (0.0, phi(1, z / 2) / phi(1, z)), _fourth_order(z)]


def _krogstad(z: float) -> Rows:
    return [(2 * phi(2, z / 2) / phi(1, z / 2),), (0.0, 2 * phi(2, z) / phi(1, z)), _fourth_order(z)]


def _strehmel_weiner(z: float) -> Rows:
    p1, p2, p3 = phi(1, z), phi(2, z), phi(3, z)
    third = (phi(2, z / 2) / phi(1, z / 2),)
    return [third, (-2 * p2 / p1, 4 * p2 / p1), (0.0, (4 * p2 - 8 * p3) / p1, (4 * p3 - p2) / p1)]


def _friedli(z: float) -> Rows:
    third, _, end = _strehmel_weiner(z)
    ratio = phi(2, z) / phi(1, z)
    return [third, ((2 * ratio - 26) / 25, (26 + 48 * ratio) / 25), end]


def _commutator_free(z: float) -> Rows:
    half = phi(1, z / 2) / phi(1, z)
    return [(1.0,), (0.0, half), (1 / 3, 1 / 3, half / 3 - 1 / 6)]


def _hochbruck_ostermann(z: float) -> Rows:
    p1, p2, p3 = phi(1, z), phi(2, z), phi(3, z)
    half_1, half_2, half_3 = phi(1, z / 2), phi(2, z / 2), phi(3, z / 2)
    a52 = half_2 / 2 - p3 + p2 / 4 - half_3 / 2
    return [
        (2 * half_2 / half_1,),
        (p2 / p1, p2 / p1),
        [2 * a / half_1 for a in (a52, a52, half_2 / 4 - a52)],
        (0.0, 0.0, (4 * p3 - p2) / p1, (4 * p2 - 8 * p3) / p1),
    ]


def _fourth_order(z: float) -> tuple[float, float, float]:
    p1, p2, p3 = phi(1, z), phi(2, z), phi(3, z)
    middle = (2 * p2 - 4 * p3) / p1
    return middle, middle, (4 * p3 - p2) / p1


def _luan_ostermann(z: float) -> Rows:
    """expRK5s8: stages 3 to 6 and the end interpolate, 7 and 8 have one term more."""
    shares = (1 / 2, 1 / 2, 1 / 4, 1 / 2, 1 / 5, 2 / 3, 1.0)
    sixth, seventh = z / 5, z * 2 / 3
    a64 = 8 / 25 * phi(2, sixth) - 32 / 125 * phi(3, sixth)
    a74 = -125 / 162 * a64
    a75 = 125 / 1944 * a64 - 16 / 27 * phi(2, seventh) + 320 / 81 * phi(3, seventh)
    a76 = 3125 / 3888 * a64 + 100 / 27 * phi(2, seventh) - 800 / 81 * phi(3, seventh)
    p1, p2, p3 = phi(1, z), phi(2, z), phi(3, z)
    extra = 5 / 32 * a64 - phi(2, sixth) / 28 + 36 / 175 * phi(2, seventh) - 48 / 25 * phi(3, seventh)
    extra += 6 / 175 * phi(4, sixth) + 192 / 35 * phi(4, seventh) + 6 * phi(4, z)
    a85 = 208 / 3 * p3 - 16 / 3 * p2 - 40 * extra
    a86 = -250 / 3 * p3 + 250 / 21 * p2 + 250 / 7 * extra
    a87 = 27 / 14 * p2 - 27 * p3 + 135 / 7 * extra
    whole = 2 / 3 * phi(1, seventh)
    return [
        _row(shares[:1], 1 / 2, (2,), z),
        _row(shares[:2], 1 / 4, (3,), z),
        _row(shares[:3], 1 / 2, (3, 4), z),
        _row(shares[:4], 1 / 5, (4, 5), z),
        (0.0, 0.0, a74 / whole, a75 / whole, a76 / whole),
        (0.0, 0.0, 0.0, a85 / p1, a86 / p1, a87 / p1),
        _row(shares, 1.0, (6, 7, 8), z),
    ]


REFINED_3 = third_order(0.5, 1.0)

METHODS = {
    "res_3s": Method(3, REFINED_3),
    "etdrk3": Method(3, Tableau((0.5, 1.0), _cox_matthews_3)),
    "etdrk4": Method(4, Tableau((0.5, 0.5, 1.0), _cox_matthews)),
    "krogstad": Method(4, Tableau((0.5, 0.5, 1.0), _krogstad)),
    "strehmel_weiner": Method(4, Tableau((0.5, 0.5, 1.0), _strehmel_weiner)),
    "friedli": Method(4, Tableau((0.5, 0.5, 1.0), _friedli)),
    "cfree4": Method(4, Tableau((0.5, 0.5, 1.0), _commutator_free)),
    "res_5s": Method(4, Tableau((0.5, 0.5, 1.0, 0.5), _hochbruck_ostermann)),
    "res_6s": Method(
        4, interpolating((1 / 2, ()), (1 / 2, (2,)), (1 / 3, (2,)), (5 / 6, (3, 4)), (1 / 3, (3, 4)), end=(5, 6))
    ),
    "res_8s": Method(5, Tableau((1 / 2, 1 / 2, 1 / 4, 1 / 2, 1 / 5, 2 / 3, 1.0), _luan_ostermann)),
    "res_10s": Method(
        5,
        interpolating(
            (1 / 2, ()),
            (1 / 2, (2,)),
            (1 / 3, (2,)),
            (1 / 2, (3, 4)),
            (1 / 3, (3, 4)),
            (1 / 4, (3, 4)),
            (3 / 10, (5, 6, 7)),
            (3 / 4, (5, 6, 7)),
            (1.0, (5, 6, 7)),
            end=(8, 9, 10),
        ),
    ),
}

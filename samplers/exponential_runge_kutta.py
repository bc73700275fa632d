"""Exponential Runge-Kutta methods on x0 in log-SNR, where the linear part of the ODE is solved exactly.

    u = x / alpha,    du/dlambda = -u + x0(u, lambda),    z = -h

One evaluation where an end is infinite (alpha_s = 0) or clean (sigma_t = 0). phi_k: see ``phi``. Stages at c = 1 stand
on t itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .form import DATA
from .phi import phi
from .settings import setting, settings
from .tableau import Rows, Tableau, single_step

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class RES2S:
    """Refined exponential solver, single step, second order.

    d = x0_s + phi_2(-h) / (c2 phi_1(-h)) (x0_2 - x0_s),    x_t = bridge(x, d)

    Exact for x0 linear in log-SNR, which DPM-Solver++(2S) is not; c2 = 1 is the exponential Heun method.
    Zhang et al. 2023, arXiv:2308.02157; Hochbruck, Ostermann 2005, doi:10.1137/040611434, section 5.
    """

    c2: float = setting(0.5, low=0.05, high=1.0, help="place of the second stage in log-SNR, as a share of the step")
    order, stochastic, evaluations, needs = 2, False, 2, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, refined_2(self.c2)))


@settings
class RES3S:
    """Refined exponential solver, single step, third order also for stiff problems.

    Stages at c = 0, 1/2, 1; a_32 = 2 phi_2(-h/2) + 2 phi_2(-h), b_2 = 4/3 phi_2(-h), b_3 = 1/3 phi_2(-h).

    Zhang et al. 2023, arXiv:2308.02157; Hochbruck, Ostermann 2005, doi:10.1137/040611434, section 5, with gamma = 4.
    """

    order, stochastic, evaluations, needs = 3, False, 3, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, REFINED_3))


@settings
class ETDRK4:
    """Exponential time differencing, fourth order, four stages at c = 0, 1/2, 1/2, 1.

    b = (phi_1 - 3 phi_2 + 4 phi_3, 2 phi_2 - 4 phi_3, 2 phi_2 - 4 phi_3, -phi_2 + 4 phi_3)(-h)

    Cox, Matthews 2002, doi:10.1006/jcph.2002.6995, eq. 26 to 29.
    """

    order, stochastic, evaluations, needs = 4, False, 4, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, COX_MATTHEWS))


@settings
class Krogstad:
    """Krogstad's fourth-order method: ETDRK4's weights with more accurate stages.

    a_32 = phi_2(-h/2), a_43 = 2 phi_2(-h), a_42 = 0. Krogstad 2005, doi:10.1016/j.jcp.2004.08.006.
    """

    order, stochastic, evaluations, needs = 4, False, 4, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, KROGSTAD))


@settings
class RES5S:
    """Hochbruck and Ostermann's five-stage method, fourth order also for stiff problems; stages at 0, 1/2, 1/2, 1, 1/2.

    b = (phi_1 - 3 phi_2 + 4 phi_3, 0, 0, -phi_2 + 4 phi_3, 4 phi_2 - 8 phi_3)(-h)

    Hochbruck, Ostermann 2005, doi:10.1137/040611434, section 5.
    """

    order, stochastic, evaluations, needs = 4, False, 5, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, HOCHBRUCK_OSTERMANN))


def refined_2(c2: float) -> Tableau:
    """The tableau of ``RES2S``."""
    return Tableau((c2,), lambda z: [(phi(2, z) / phi(1, z) / c2,)])


def _refined_3(z: float) -> Rows:
    p1, p2 = phi(1, z), phi(2, z)
    return [((2 * phi(2, z / 2) + 2 * p2) / p1,), (4 / 3 * p2 / p1, p2 / p1 / 3)]


def _cox_matthews(z: float) -> Rows:
    return [(1.0,), (0.0, phi(1, z / 2) / phi(1, z)), _fourth_order(z)]


def _krogstad(z: float) -> Rows:
    return [(2 * phi(2, z / 2) / phi(1, z / 2),), (0.0, 2 * phi(2, z) / phi(1, z)), _fourth_order(z)]


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


REFINED_3 = Tableau((0.5, 1.0), _refined_3)
COX_MATTHEWS = Tableau((0.5, 0.5, 1.0), _cox_matthews)
KROGSTAD = Tableau((0.5, 0.5, 1.0), _krogstad)
HOCHBRUCK_OSTERMANN = Tableau((0.5, 0.5, 1.0, 0.5), _hochbruck_ostermann)

"""Implicit Runge-Kutta methods, their stages found by sweeps of fixed-point iteration.

A stage depends on all others. They begin as the prediction at s; a sweep evaluates each in turn with the newest values
of the rest and raises the order by one, up to the method's. The stability that implicit methods are known for is that
of solved equations: a few sweeps do not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .bridge import bridge
from .derived import derived
from .form import DATA, QUANTITIES, QUANTITY_HELP, Form
from .implicit_tableaux import COLLOCATION, METHODS, exponential
from .settings import setting, settings
from .sums import weighted
from .tableau import Rows

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

SWEEPS_HELP = "rounds of fixed-point iteration; each costs an evaluation a stage and raises the order by one"
ELSEWHERE = {
    "gauss_legendre_4s_alt": "gauss_legendre_4",
    "gauss_legendre_4s_alternating_a": "gauss_legendre_4",
    "gauss_legendre_4s_ascending_a": "gauss_legendre_4",
    "gauss_legendre_5s_ascending": "gauss_legendre_5",
    "radau_iia_3s_alt": "radau_iia_3",
    "pareschi_russo_alt_2s": "alexander_2",
}
"""Names that RES4LYF has for its tables of the same methods, whose stages stand in another order or are rounded."""
NAMES = {name + "s": {"method": name} for name in METHODS} | {name: {"method": of} for name, of in ELSEWHERE.items()}


@derived
def swept_order(self) -> int:  # noqa: ANN001
    """What that many sweeps deliver of the method's order."""
    return min(METHODS[self.method].order, self.sweeps + 1)


@derived
def swept_evaluations(self) -> int:  # noqa: ANN001
    """One at the start of the step and one a sweep for each stage that is not there."""
    return 1 + self.sweeps * sum(map(any, METHODS[self.method].matrix[:-1]))


@settings
class ImplicitRungeKutta:
    """An implicit Runge-Kutta method, integrating eps over k = sigma/alpha.

    x_t/alpha_t = x_s/alpha_s + (k_t - k_s) sum_i b_i eps_i,    x_i/alpha_i = x_s/alpha_s + (k_t - k_s) sum_j a_ij eps_j

    Evaluations a step: 1 + sweeps * stages (the first of Lobatto IIIA and IIIC* is s itself). The order is sweeps + 1,
    up to the method's own: with n stages 2n for Gauss-Legendre, 2n - 1 for Radau, 2n - 2 for Lobatto; 3 for crouzeix_2,
    2 for the other diagonal ones. ``quantity`` as in ``runge_kutta``. Hairer, Wanner 1996,
    doi:10.1007/978-3-642-05221-7, section IV.5; of each method, see ``implicit_tableaux``; Karras et al. 2022,
    arXiv:2206.00364, for the ODE.
    """

    method: str = setting("gauss_legendre_2", choices=tuple(METHODS), help="the tableau")
    sweeps: int = setting(3, low=1, high=20, help=SWEEPS_HELP)
    quantity: str = setting("eps", choices=tuple(QUANTITIES), help=QUANTITY_HELP)
    stochastic, needs = False, ()
    order, evaluations = swept_order, swept_evaluations
    variants = NAMES

    @derived
    def evaluations_from_noise(self) -> int:
        return self.evaluations if QUANTITIES[self.quantity].pure_noise else 1

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        _, shares, matrix = METHODS[self.method]
        return (yield from implicit(x, path, QUANTITIES[self.quantity], shares, lambda z: matrix, self.sweeps))


@settings
class ExponentialCollocation:
    """An exponential Runge-Kutta method of collocation type: x0 as a polynomial in log-SNR through all stages.

    u_t = e^(-h) u_s + integral of the polynomial through x0_i at lambda_s + c_i h,    u = x/alpha, and so at each stage

    Orders, evaluations and sweeps as in ``implicit_runge_kutta``. Hochbruck, Ostermann 2005,
    Appl. Numer. Math. 53, 323; Zhang et al. 2023, arXiv:2308.02157, for the ODE.
    """

    method: str = setting("gauss_legendre_2", choices=tuple(COLLOCATION), help="the nodes")
    sweeps: int = setting(3, low=1, high=20, help=SWEEPS_HELP)
    stochastic, needs = False, ()
    order, evaluations = swept_order, swept_evaluations

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        nodes = COLLOCATION[self.method].shares
        return (yield from implicit(x, path, DATA, nodes, partial(exponential, nodes), self.sweeps))


def implicit(
    x: Tensor, path: Path, form: Form, shares: Sequence[float], rows: Callable[[float], Rows], sweeps: int
) -> Run:
    """A run of one method on every step; the one-evaluation step where an end is infinite or clean.

    Args:
        rows: z = exponent * step to the weights of all stages in each and in the step, whose own add to 1.
    """
    for s, t in path:
        x, x0 = yield x, s
        if not form.spans(s, t):
            x = bridge(x, x0, s, t)
            continue
        *stages, end = rows(form.exponent * (form.variable(t) - form.variable(s)))
        values = [form.value(x, x0, s)] * len(shares)
        keep, push = form.moves(s, t)
        moving = [
            (i, level := form.level(s, t, share) if share else s, form.moves(s, level)[0])
            for i, (share, row) in enumerate(zip(shares, stages, strict=True))
            if any(row)
        ]
        for _ in range(sweeps):
            for i, level, kept in moving:
                change = [push * kept / keep * weight for weight in stages[i]]
                stage, x0 = yield weighted([x, *values], [kept, *change]), level
                values[i] = form.value(stage, x0, level)
        x = form.move(x, weighted(values, end), s, t)
    return x

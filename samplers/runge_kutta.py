"""Explicit Runge-Kutta methods on eps over sigma/alpha, each a tableau of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .derived import derived
from .form import NOISE
from .settings import setting, settings
from .tableau import Tableau, classical, single_step

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


class Method(NamedTuple):
    """A tableau and the order it converges with."""

    order: int
    tableau: Tableau


_ROOT = 5**0.5

METHODS = {
    "midpoint": Method(2, classical([1 / 2], [0, 1])),
    "ralston2": Method(2, classical([2 / 3], [1 / 4, 3 / 4])),
    "heun3": Method(3, classical([1 / 3], [0, 2 / 3], [1 / 4, 0, 3 / 4])),
    "kutta3": Method(3, classical([1 / 2], [-1, 2], [1 / 6, 2 / 3, 1 / 6])),
    "ralston3": Method(3, classical([1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9])),
    "ssprk3": Method(3, classical([1], [1 / 4, 1 / 4], [1 / 6, 1 / 6, 2 / 3])),
    "rk4": Method(4, classical([1 / 2], [0, 1 / 2], [0, 0, 1], [1 / 6, 1 / 3, 1 / 3, 1 / 6])),
    "rk38": Method(4, classical([1 / 3], [-1 / 3, 1], [1, -1, 1], [1 / 8, 3 / 8, 3 / 8, 1 / 8])),
    "ralston4": Method(
        4,
        classical(
            [2 / 5],
            [(-2889 + 1428 * _ROOT) / 1024, (3785 - 1620 * _ROOT) / 1024],
            [(-3365 + 2094 * _ROOT) / 6040, (-975 - 3046 * _ROOT) / 2552, (467040 + 203968 * _ROOT) / 240845],
            [
                (263 + 24 * _ROOT) / 1812,
                (125 - 1000 * _ROOT) / 3828,
                (3426304 + 1661952 * _ROOT) / 5924787,
                (30 - 4 * _ROOT) / 123,
            ],
        ),
    ),
    "dormand_prince": Method(
        5,
        classical(
            [1 / 5],
            [3 / 40, 9 / 40],
            [44 / 45, -56 / 15, 32 / 9],
            [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
            [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
            [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
        ),
    ),
}
"""Rows a_2, a_3, ... and b. Bogacki-Shampine's third-order weights are ralston3."""


@settings
class RungeKutta:
    """An explicit Runge-Kutta method, integrating eps over k = sigma/alpha.

    x_t/alpha_t = x_s/alpha_s + (k_t - k_s) * sum_i b_i eps_i,    eps_i at k_s + c_i (k_t - k_s)

    As many evaluations a step as the tableau has stages: 2, 3, 4 for the orders 2, 3, 4 and 6 for dormand_prince; one
    where an end is infinite (alpha_s = 0) or clean (sigma_t = 0). Embedded error estimates are not used, steps are the
    path's. Hairer, Nørsett, Wanner 1993, doi:10.1007/978-3-540-78862-1, sections II.1 and II.5; Ralston 1962,
    doi:10.1090/S0025-5718-1962-0150954-0; Shu, Osher 1988, doi:10.1016/0021-9991(88)90177-5; Karras et al. 2022,
    arXiv:2206.00364, for the ODE.
    """

    method: str = setting("rk4", choices=tuple(METHODS), help="the tableau")
    stochastic, needs = False, ()

    @derived
    def order(self) -> int:
        return METHODS[self.method].order

    @derived
    def evaluations(self) -> int:
        return len(METHODS[self.method].tableau.shares) + 1

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, NOISE, METHODS[self.method].tableau))

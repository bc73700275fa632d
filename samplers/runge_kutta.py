"""Explicit Runge-Kutta methods on eps over sigma/alpha, each a tableau of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .derived import derived
from .form import QUANTITIES, QUANTITY_HELP
from .runge_kutta_tableaux import METHODS
from .settings import setting, settings
from .tableau import single_step

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

VARIANTS = {
    "midpoint_2s": {"method": "midpoint"},
    "heun_2s": {"method": "heun2"},
    "FlowMatchHeunDiscreteScheduler": {"method": "heun2", "quantity": "flow"},
    "ralston_2s": {"method": "ralston2"},
    "heun_3s": {"method": "heun3"},
    "kutta_3s": {"method": "kutta3"},
    "ralston_3s": {"method": "ralston3"},
    "bogacki_shampine_4s": {"method": "ralston3"},
    "houwen_wray_3s": {"method": "wray3"},
    "ssprk3_3s": {"method": "ssprk3"},
    "ssprk4_4s": {"method": "ssprk43"},
    "rk4_4s": {"method": "rk4"},
    "rk38_4s": {"method": "rk38"},
    "ralston_4s": {"method": "ralston4"},
    "dormand_prince_6s": {"method": "dormand_prince"},
    "dormand_prince_13s": {"method": "dormand_prince8"},
    "bogacki_shampine_7s": {"method": "bogacki_shampine5"},
    "tsi_7s": {"method": "tsit5"},
    "rk6_7s": {"method": "butcher6"},
    "lawson2a_2s": {"method": "midpoint", "quantity": "lawson"},
    "lawson2b_2s": {"method": "heun2", "quantity": "lawson"},
    "lawson4_4s": {"method": "rk4", "quantity": "lawson"},
}


@settings
class RungeKutta:
    """An explicit Runge-Kutta method, integrating eps over k = sigma/alpha.

    x_t/alpha_t = x_s/alpha_s + (k_t - k_s) * sum_i b_i eps_i,    eps_i at k_s + c_i (k_t - k_s)

    As many evaluations a step as the tableau has stages: 2, 3, 4 for the orders 2, 3, 4, 6 or 7 for 5 and 6, 13 for 8;
    one where an end is infinite (alpha_s = 0) or clean (sigma_t = 0). Another ``quantity`` takes eps's place, in its
    own variable (see ``form``): "flow" is finite at alpha = 0 and steps from there with all its stages; "lawson" is the
    integrating factor method (Lawson 1967, doi:10.1137/0704033), whose order breaks down on stiff problems. Steps are
    the path's. Hairer, Nørsett, Wanner 1993, doi:10.1007/978-3-540-78862-1, sections II.1 and II.5; of each tableau,
    see ``runge_kutta_tableaux``; Karras et al. 2022, arXiv:2206.00364, for the ODE.
    """

    method: str = setting("rk4", choices=tuple(METHODS), help="the tableau")
    quantity: str = setting("eps", choices=tuple(QUANTITIES), help=QUANTITY_HELP)
    stochastic, needs = False, ()
    variants = VARIANTS

    @derived
    def order(self) -> int:
        return METHODS[self.method].order

    @derived
    def evaluations(self) -> int:
        return len(METHODS[self.method].tableau.shares) + 1

    @derived
    def evaluations_from_noise(self) -> int:
        return self.evaluations if QUANTITIES[self.quantity].pure_noise else 1

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, QUANTITIES[self.quantity], METHODS[self.method].tableau))

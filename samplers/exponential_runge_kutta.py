"""Exponential Runge-Kutta methods on x0 in log-SNR, where the linear part of the ODE is solved exactly.

    u = x / alpha,    du/dlambda = -u + x0(u, lambda),    z = -h

One evaluation where an end is infinite (alpha_s = 0) or clean (sigma_t = 0). Stages at c = 1 stand on t itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .derived import derived
from .exponential_tableaux import METHODS, refined_2
from .form import DATA
from .settings import setting, settings
from .tableau import single_step

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

EXPONENTIAL_HEUN = {name: {"c2": 1.0} for name in ("etdrk2", "etdrk2_2s", "exp_heun_2", "exp_heun_2_x0")}

OTHER_NAMES = {
    "res_3s_cox_matthews": "etdrk3",
    "etdrk3_a_3s": "etdrk3",
    "res_4s_cox_matthews": "etdrk4",
    "etdrk4_4s": "etdrk4",
    "res_4s_krogstad": "krogstad",
    "res_4s_strehmel_weiner": "strehmel_weiner",
    "res_4s_friedli": "friedli",
    "res_4s_cfree4": "cfree4",
    "res_5s_hochbruck_ostermann": "res_5s",
}
VARIANTS = {name: {"method": method} for name, method in [*zip(METHODS, METHODS, strict=True), *OTHER_NAMES.items()]}


@settings
class RES2S:
    """Refined exponential solver, single step, second order.

    d = x0_s + phi_2(-h) / (c2 phi_1(-h)) (x0_2 - x0_s),    x_t = bridge(x, d)

    Exact for x0 linear in log-SNR, which DPM-Solver++(2S) is not; c2 = 1 is the exponential Heun method (ETD2RK).
    Zhang et al. 2023, arXiv:2308.02157; Hochbruck, Ostermann 2005, doi:10.1137/040611434, section 5; Cox, Matthews
    2002, doi:10.1006/jcph.2002.6995.
    """

    c2: float = setting(0.5, low=0.05, high=1.0, help="place of the second stage in log-SNR, as a share of the step")
    order, stochastic, evaluations, needs = 2, False, 2, ()
    variants = EXPONENTIAL_HEUN

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, refined_2(self.c2)))


@settings
class ExponentialRungeKutta:
    """An exponential Runge-Kutta method of three stages or more.

    u_t = e^(-h) u_s + h sum_i b_i(-h) x0_i,    x0_i at lambda_s + c_i h,    u = x/alpha, lambda = log(alpha/sigma)

    Third order with three stages (etdrk3; res_3s also for stiff problems), fourth with four (etdrk4, krogstad,
    strehmel_weiner, friedli, cfree4), with five or six also for stiff problems (res_5s, res_6s), fifth for stiff
    problems with eight or ten (res_8s, res_10s). Hochbruck, Ostermann 2010, doi:10.1017/S0962492910000048; of each
    method, see ``exponential_tableaux``; Zhang et al. 2023, arXiv:2308.02157, for the ODE.
    """

    method: str = setting("krogstad", choices=tuple(METHODS), help="the tableau")
    stochastic, needs = False, ()
    variants = VARIANTS

    @derived
    def order(self) -> int:
        return METHODS[self.method].order

    @derived
    def evaluations(self) -> int:
        return len(METHODS[self.method].tableau.shares) + 1

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, METHODS[self.method].tableau))

"""Exponential Adams-Bashforth methods: x0 as a polynomial in log-SNR through the last predictions, integrated exactly.

    x_t = bridge(x, d),    d = sum_j w_j x0_j,    sum_j w_j tau_j^i = i! phi_(i+1)(-h) / phi_1(-h)

with tau_j the earlier levels in units of the step h in log(alpha/sigma). One evaluation a step; for what ``start``
costs and keeps see ``starts``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .derived import derived
from .form import DATA
from .linear_multistep import exact, half_curvature, multistep
from .settings import setting, settings
from .starts import START_HELP, STARTS, start_cost, start_method, started_order

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class RES2M:
    """Refined exponential solver, multistep through two points (Adams-Bashforth-Nørsett 2).

    d = x0 + phi_2(-h)/phi_1(-h) * h/h_last * (x0 - x0_last),    x_t = bridge(x, d)

    Exact for x0 linear in log-SNR, which DPM-Solver++(2M) is not. Zhang et al. 2023, arXiv:2308.02157.
    """

    order, stochastic, evaluations, needs = 2, False, 1, ()
    aliases = ("res_multistep", "sample_res_multistep", "abnorsett_2m")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from multistep(x, path, DATA, 2))


@settings
class RES3M:
    """Refined exponential solver, multistep through three points (Adams-Bashforth-Nørsett 3).

    Exact for x0 quadratic in log-SNR; second order after a start with Euler's step, third after a single-step start.
    Zhang et al. 2023, arXiv:2308.02157; Hochbruck, Ostermann 2010, doi:10.1017/S0962492910000048.
    """

    start: str = setting("euler", choices=STARTS, help=START_HELP)
    points, stochastic, evaluations, needs = 3, False, 1, ()
    order, start_evaluations = started_order, start_cost
    aliases = ("abnorsett_3m",)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from multistep(x, path, DATA, 3, start_method(DATA, 3, self.start)))


@settings
class ABNorsett4M:
    """Adams-Bashforth-Nørsett method through four points.

    Exact for x0 cubic in log-SNR; second order after a start with Euler's step, fourth after a single-step start.
    Hochbruck, Ostermann 2010, doi:10.1017/S0962492910000048; Zhang et al. 2023, arXiv:2308.02157.
    """

    start: str = setting("euler", choices=STARTS, help=START_HELP)
    points, stochastic, evaluations, needs = 4, False, 1, ()
    order, start_evaluations = started_order, start_cost

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from multistep(x, path, DATA, 4, start_method(DATA, 4, self.start)))


@settings
class DPMpp3M:
    """DPM-Solver++(3M): x0 with its first and second differences in log-SNR.

    d = x0 + phi_2/phi_1(-h) D1 + 2 phi_3/phi_1(-h) D2,    x_t = bridge(x, d)

    D1 and D2 are the coefficients of the parabola through the last three predictions, so the factor 2 belongs there and
    the method is ``res_3m``. compat=True leaves it out, as k-diffusion's ``sample_dpmpp_3m_sde`` and diffusers do:
    then it is not exact for parabolas and second order whatever the start.

    Lu et al. 2022, arXiv:2211.01095.
    """

    compat: bool = setting(False, help="without the factor 2 of the second difference, as in other programs; order 2")
    start: str = setting("euler", choices=STARTS, help=START_HELP)
    points, stochastic, evaluations, needs, start_evaluations = 3, False, 1, (), start_cost

    @derived
    def order(self) -> int:
        return 3 if self.start == "runge_kutta" and not self.compat else 2

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        weights = half_curvature if self.compat else exact
        return (yield from multistep(x, path, DATA, 3, start_method(DATA, 3, self.start), weights))

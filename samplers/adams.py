"""Multistep methods on eps: Adams-Bashforth in sigma/alpha and, exponential, in log-SNR.

One evaluation a step; for what ``start`` costs and keeps see ``starts``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .form import NOISE_LOG_SNR, QUANTITIES, QUANTITY_HELP
from .linear_multistep import exact, half_curvature, halved, multistep
from .settings import setting, settings
from .starts import START_HELP, STARTS, start_cost, start_method, started_order

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

ADAMS = {"vab": {"quantity": "flow"}, "reab": {"quantity": "angle", "points": 2}}
DEIS_POINTS = {f"deis_{points}m": {"points": points} for points in (2, 3, 4)}
DPM_SOLVERS = {"dpm_solver_2m": {"points": 2}, "dpm_solver_3m": {"points": 3}}


@settings
class LMS:
    """Linear multistep method: Adams-Bashforth on eps over k = sigma/alpha with the path's own steps.

    x_t/alpha_t = x_s/alpha_s + integral from k_s to k_t of the polynomial through the last ``points`` eps

    Exact for eps a polynomial of degree points - 1 in k. k-diffusion's ``sample_lms`` (Crowson 2022), and what iPNDM
    with steps of any size (ipndm_v) means to be. Another ``quantity`` takes eps's place, in its own variable (see
    ``form``); "flow" is natural for flow models and knows no special first step: alpha = 0 is a level like others. So
    is "angle", azula's ``reab`` with polynomials in the angle instead of log-SNR, exact for data N(0, 1). Hairer,
    Nørsett, Wanner 1993, doi:10.1007/978-3-540-78862-1, section III.5; Karras et al. 2022, arXiv:2206.00364, for the
    ODE; Liu et al. 2022, arXiv:2209.03003, for the flow.
    """

    points: int = setting(4, low=1, high=4, help="predictions used, the newest included")
    start: str = setting("euler", choices=STARTS, help=START_HELP)
    quantity: str = setting("eps", choices=tuple(QUANTITIES), help=QUANTITY_HELP)
    stochastic, evaluations, needs = False, 1, ()
    order, start_evaluations = started_order, start_cost
    aliases = ("sample_lms", "LMSDiscreteScheduler", "ipndm_v")
    variants = ADAMS

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        form = QUANTITIES[self.quantity]
        return (yield from multistep(x, path, form, self.points, start_method(form, self.points, self.start)))


@settings
class DPMSolverM:
    """DPM-Solver, multistep: eps extrapolated in log-SNR from the last two or three predictions.

    x_t = alpha_t/alpha_s x + (sigma_t - sigma_s alpha_t/alpha_s) e,    e = eps + h / (2 h_last) (eps - eps_last)

    with two points, the counterpart of DPM-Solver++(2M). With three it is ``deis``, and compat=True gives the second
    difference half its weight, as diffusers does: second order. Weights of eps grow with e^h, which makes it fragile
    under guidance and on long steps. Lu et al. 2022, arXiv:2206.00927, and arXiv:2211.01095, appendix B.
    """

    points: int = setting(2, low=2, high=3, help="predictions used, the newest included")
    compat: bool = setting(False, help="with three points: half the second difference, as in other programs")
    order, stochastic, evaluations, needs = 2, False, 1, ()
    variants = DPM_SOLVERS

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        weights = halved if self.points == 2 else half_curvature if self.compat else exact
        return (yield from multistep(x, path, NOISE_LOG_SNR, self.points, weights=weights))


@settings
class DEIS:
    """Diffusion exponential integrator sampler: eps as a polynomial in log(sigma/alpha), integrated exactly.

    x_t/alpha_t = x_s/alpha_s + integral from k_s to k_t of eps(log k) dk,    k = sigma/alpha

    The variant "log rho" of the paper, which depends on the levels alone ("tab" needs the training schedule's time).
    Zhang, Chen 2022, arXiv:2204.13902.
    """

    points: int = setting(3, low=1, high=4, help="predictions used, the newest included")
    start: str = setting("euler", choices=STARTS, help=START_HELP)
    stochastic, evaluations, needs = False, 1, ()
    order, start_evaluations = started_order, start_cost
    aliases = ("DEISMultistepScheduler",)
    variants = DEIS_POINTS

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        start = start_method(NOISE_LOG_SNR, self.points, self.start)
        return (yield from multistep(x, path, NOISE_LOG_SNR, self.points, start))

"""Single-step DPM-Solvers: stages spread in log-SNR, eps (DPM-Solver) or x0 (DPM-Solver++) held smooth.

All take one evaluation where an end is infinite (alpha_s = 0) or clean (sigma_t = 0). phi_k: see ``phi``; h is the step
in log(alpha/sigma).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from .exponential_tableaux import third_order
from .form import DATA, NOISE_LOG_SNR
from .settings import setting, settings
from .tableau import Tableau, single_step

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

EQUAL_WEIGHTS = {"res_2s_rkmk2e": {"r": 1.0}}


@settings
class DPM2:
    """DPM-Solver-2: the slope at a middle level, geometric in sigma/alpha.

    x_t = alpha_t/alpha_s x + (sigma_t - sigma_s alpha_t/alpha_s) e,    e = eps_s + (eps_m - eps_s) / (2 r)

    with m the share r of the way in log-SNR, reached by Euler's step. r = 1/2 is k-diffusion's ``sample_dpm_2``
    (KDPM2). Lu et al. 2022, arXiv:2206.00927, Algorithm 1; for any r, its appendix.
    """

    r: float = setting(0.5, low=0.05, high=1.0, help="place of the middle level in log-SNR, as a share of the step")
    order, stochastic, evaluations, needs = 2, False, 2, ()
    aliases = ("sample_dpm_2", "KDPM2DiscreteScheduler", "dpm_solver_2")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, NOISE_LOG_SNR, second_order(self.r)))


@settings
class DPMSolver3:
    """DPM-Solver-3: two inner levels at 1/3 and 2/3 of the step in log-SNR, eps held smooth.

    x_t = alpha_t/alpha_s x + (sigma_t - sigma_s alpha_t/alpha_s) e,    e = eps_s + 3/2 phi_2/phi_1(h) (eps_2 - eps_s)

    The weights grow with e^h, which makes it fragile on long steps; DPM-Solver++ is the cure.
    Lu et al. 2022, arXiv:2206.00927, Algorithm 2.
    """

    order, stochastic, evaluations, needs = 3, False, 3, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, NOISE_LOG_SNR, THIRD_ORDER))


@settings
class DPMpp2S:
    """DPM-Solver++(2S): x0 at a middle level in log-SNR.

    d = x0_s + (x0_m - x0_s) / (2 r),    x_t = bridge(x, d)

    r = 1/2 is k-diffusion's ``sample_dpmpp_2s_ancestral`` without noise.
    Lu et al. 2022, arXiv:2211.01095, Algorithm 1.
    """

    r: float = setting(0.5, low=0.05, high=1.0, help="place of the middle level in log-SNR, as a share of the step")
    order, stochastic, evaluations, needs = 2, False, 2, ()
    aliases = ("DPMSolverSinglestepScheduler",)
    variants = EQUAL_WEIGHTS

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, second_order(self.r)))


@settings
class DPMpp3S:
    """DPM-Solver++(3S): x0 at 1/3 and 2/3 of the step in log-SNR.

    d = x0_s + 3/2 phi_2(-h)/phi_1(-h) (x0_2 - x0_s),    x_t = bridge(x, d)

    The data-prediction form of DPM-Solver-3. Lu et al. 2022, arXiv:2211.01095 and arXiv:2206.00927, Algorithm 2.
    """

    order, stochastic, evaluations, needs = 3, False, 3, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from single_step(x, path, DATA, THIRD_ORDER))


@lru_cache(maxsize=2**12)
def second_order(r: float) -> Tableau:
    """One inner stage at the share r, with the weight 1 / (2 r) that all phi functions share to first order."""
    return Tableau((r,), lambda z: [(1 / (2 * r),)])


THIRD_ORDER = third_order(1 / 3, 2 / 3)

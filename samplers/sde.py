"""Exponential integrators of the reverse-time SDE."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import shares
from .settings import setting, settings
from .sums import pair

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .path import Path
    from .protocols import Noise, Run

HEUN = {name: {"solver": "heun"} for name in ("dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu")}


@settings
class DPMpp2MSDE:
    """SDE-DPM-Solver++(2M): the two-step method of DPM++ 2M on the reverse SDE, with noise scaled by eta.

    x_t = sigma_t/sigma_s e^(-eta h) x + alpha_t (1 - e^(-(1+eta) h)) d + s_noise * sigma_t sqrt(1 - e^(-2 eta h)) z

    with d = x0 + w (x0 - x0_last); "midpoint" takes w = h / (2 h_last), "heun" the weight that is exact for x0 linear
    in log-SNR. Lu et al. 2022, arXiv:2211.01095, eq. 18; k-diffusion's ``sample_dpmpp_2m_sde`` (Crowson 2022).
    """

    eta: float = setting(1.0, low=0.0, help="amount of noise; 0 is the ODE, 1 the reverse SDE")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    solver: str = setting("midpoint", choices=("midpoint", "heun"), help="weight of the previous prediction")
    order, stochastic, evaluations, needs = 2, True, 1, ()
    aliases = ("sample_dpmpp_2m_sde", "dpmpp_2m_sde_gpu")
    variants = HEUN

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        last = None
        for s, t in path:
            x, x0 = yield x, s
            h, u, slope = t.half_logsnr - s.half_logsnr, self._noise_std(s, t), 0.0
            keep, share = shares(s, t, u)
            if last and t.sigma:
                slope = self._weight(h) * h / last[1]
            x = pair(x, x0, keep, share * (1 + slope))
            if last and slope:
                x.add_(last[0], alpha=-share * slope)
            last = x0, h
            if u:
                x = x.add_(noise(s, t), alpha=u * self.s_noise)
        return x

    def _noise_std(self, s: Level, t: Level) -> float:
        """sigma_t sqrt(1 - e^(-2 eta h))."""
        ratio = (s.alpha * t.sigma) / (t.alpha * s.sigma)  # e^(-h)
        return t.sigma * math.sqrt(1 - ratio ** (2 * self.eta)) if self.eta else 0.0

    def _weight(self, h: float) -> float:
        """The share of the slope (x0 - x0_last) / h_last * h that a step adds, relative to x0's own coefficient."""
        if self.solver == "midpoint":
            return 0.5
        decay = h * (1 + self.eta)
        return 1 / -math.expm1(-decay) - 1 / decay

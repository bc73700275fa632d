"""Ancestral sampling with second-order steps: an ODE step to a level below t, then fresh noise back up to t.

    u = min(sigma_t, eta * ancestral deviation),    down = (alpha_t, sqrt(sigma_t^2 - u^2)),    x_t = x_down + u * z

Noise on top of a state at ``down`` is exactly a state at t, so the distribution is as accurate as the ODE step. An end
at alpha = 0 or at sigma = 0 of ``down`` is infinite and takes one first-order step.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from .bridge import ancestral_std, bridge
from .dpm_solver import second_order
from .form import DATA, NOISE_LOG_SNR, Form
from .level import Level, between
from .reverse_sde import moments
from .settings import setting, settings
from .tableau import EULER, Plan, planned, step

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


def lower(t: Level, u: float) -> Level:
    """The level that becomes t when noise of standard deviation u is added."""
    return Level(t.alpha, math.sqrt((t.sigma - u) * (t.sigma + u)))


@settings
class DPM2Ancestral:
    """DPM2 with ancestral noise: the slope at the middle in log-SNR, integrating eps over sigma/alpha.

    x_down/alpha_t = x_s/alpha_s + (k_down - k_s) * eps_middle,    k = sigma/alpha,    x_t = x_down + s_noise * u * z

    DPM-Solver-2's midpoint (Lu et al. 2022, arXiv:2206.00927) in the space of Karras et al. 2022, arXiv:2206.00364;
    k-diffusion's ``sample_dpm_2_ancestral`` (Crowson 2022).
    """

    eta: float = setting(1.0, low=0.0, help="share of the reverse process's noise; 0 is DPM2")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    order, stochastic, evaluations, needs = 2, True, 2, ()
    aliases = ("sample_dpm_2_ancestral", "KDPM2AncestralDiscreteScheduler")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from _ancestral(x, path, noise, NOISE_LOG_SNR, self.eta, self.s_noise))


@settings
class DPMpp2SAncestral:
    """DPM-Solver++(2S) with ancestral noise: x0 at the middle in log-SNR stands for the step.

    x_t = bridge(x, x0_middle; u) + s_noise * u * z,    middle half way in log(alpha/sigma) from s to ``down``

    Lu et al. 2022, arXiv:2211.01095, Algorithm 1 with r = 1/2; k-diffusion's ``sample_dpmpp_2s_ancestral``.
    """

    eta: float = setting(1.0, low=0.0, help="share of the reverse process's noise; 0 is DPM++ 2S")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    order, stochastic, evaluations, needs = 2, True, 2, ()
    aliases = ("sample_dpmpp_2s_ancestral",)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from _ancestral(x, path, noise, DATA, self.eta, self.s_noise))


@settings
class RESMultistepAncestral:
    """RES multistep with ancestral noise: x0 extrapolated linearly in log-SNR, its integral exact.

    x_down = bridge(x, x0) + alpha_t phi (x0 - x0_last) h / h_last,    x_t = x_down + s_noise * u * z

    with h from s to ``down``, h_last that of the last step, and phi the integral of a slope (Zhang et al. 2023,
    arXiv:2308.02157). Noise only forgets: x0 at t is the mean of x0 at ``down`` given x_t, so the change of x0 belongs
    to the whole of h_last. Divided by the shorter way between the two levels, the method is of first order.
    """

    eta: float = setting(1.0, low=0.0, help="share of the reverse process's noise; 0 is RES multistep")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    order, stochastic, evaluations, needs = 2, True, 1, ()
    aliases = ("sample_res_multistep_ancestral",)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        last = None
        for s, t in path:
            x, x0 = yield x, s
            u = ancestral_std(s, t, self.eta)
            down = lower(t, u)
            x = bridge(x, x0, s, down)
            h = down.half_logsnr - s.half_logsnr
            if last and down.sigma:
                x0_last, h_last = last
                x = x.add_(x0 - x0_last, alpha=t.alpha * h / h_last * moments(h, 2)[1])
            if u:
                x = x.add_(noise(s, t), alpha=u * self.s_noise)
            last = (x0, h) if s.alpha else None
        return x


def _ancestral(x: Tensor, path: Path, noise: Noise, form: Form, eta: float, s_noise: float) -> Run:
    for (s, t), (plan, u) in zip(path, _plans(form, eta, path.levels), strict=True):
        x, x0 = yield x, s
        x = yield from step(x, x0, plan)
        if u:
            x = x.add_(noise(s, t), alpha=u * s_noise)
    return x


@lru_cache(maxsize=2**8)
def _plans(form: Form, eta: float, levels: tuple[Level, ...]) -> list[tuple[Plan, float]]:
    """Of each step the way down and the noise back up; kept, because the images of the next batch take the same."""
    return [_planned(form, s, t, ancestral_std(s, t, eta)) for s, t in pairwise(levels)]


def _planned(form: Form, s: Level, t: Level, u: float) -> tuple[Plan, float]:
    """The second-order step to ``down``, its stage half way there in log-SNR and on the straight line from s to t."""
    down = lower(t, u)
    if not form.spans(s, down):
        return planned(form, EULER, s, down), u
    middle = between(s, t, (s.half_logsnr + down.half_logsnr) / 2)
    return planned(form, second_order(0.5), s, down, (middle,)), u

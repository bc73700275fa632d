"""Samplers that replace part of the noise at each step: Euler ancestral, DDIM with eta, DDPM.

All three walk the bridge to t with room for fresh noise u and fill it; they differ in u. With eta = 1 they are one
method in three communities' words, which the tests prove.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from .bridge import ancestral_std, bridge
from .derived import derived
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .path import Path
    from .protocols import Noise, Run

Std = Callable[["Level", "Level", float], float]
FLOW_NOISE = {name: {"noise": "flow"} for name in ("euler_ancestral_rf", "LTXEulerAncestralRFScheduler")}


@settings
class EulerAncestral:
    """Euler step down to a lower level, then fresh noise back up to t.

    x_t = bridge(x, x0; u) + s_noise * u * z,    u = min(sigma_t, eta * ancestral deviation)

    k-diffusion's ``sample_euler_ancestral`` (Crowson 2022), right for flow and zero terminal SNR too. With eta = 1 it
    is DDPM's posterior step (Ho et al. 2020, arXiv:2006.11239, eq. 7). noise="flow" takes the step down in flow time
    tau = sigma/(alpha + sigma) instead, to tau_t (1 + eta (tau_t/tau_s - 1)): more noise for the same eta, as the
    rectified flow variants of ComfyUI and diffusers (LTX) do. The distribution is right either way.
    """

    eta: float = setting(1.0, low=0.0, help="share of the reverse process's noise; 0 is Euler")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    noise: str = setting("posterior", choices=("posterior", "flow"), help="what eta is a share of")
    order, stochastic, evaluations, needs = 1, True, 1, ()
    aliases = ("sample_euler_ancestral", "EulerAncestralDiscreteScheduler")
    variants = FLOW_NOISE

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        std = flow_std if self.noise == "flow" else ancestral_std
        return (yield from _ancestral(x, path, noise, std, self.eta, self.s_noise))


@settings
class DDIM:
    """DDIM, deterministic at eta = 0 and DDPM at eta = 1.

    x_t = alpha_t * x0 + sqrt(sigma_t^2 - u^2) * eps + u * z,    u = eta * posterior deviation

    Song, Meng, Ermon 2020, arXiv:2010.02502, eq. 12 and 16.
    """

    eta: float = setting(0.0, low=0.0, high=1.0, help="0 deterministic, 1 as noisy as DDPM")
    order, stochastic, evaluations, needs = 1, True, 1, ()
    aliases = ("DDIMScheduler", "DDIMParallelScheduler")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from _ancestral(x, path, noise, ancestral_std, self.eta))


@settings
class DDPM:
    """Ancestral sampling of the discrete reverse process.

    x_t = posterior mean + u * z,    u^2 = beta-tilde ("small") or beta ("large") of the step, none on the last one

    Ho, Jain, Abbeel 2020, arXiv:2006.11239, Algorithm 2 and section 3.2. "small" is exact for data at a point, "large"
    for data of unit variance; both converge to the same process as steps grow. "learned" lies between them where the
    network says, u^2 = beta^v beta-tilde^(1 - v): it needs the prediction ``variance``, v in [0, 1] for each pixel,
    (output + 1) / 2 of a network trained for it. Nichol, Dhariwal 2021, arXiv:2102.09672, eq. 15.
    """

    variance: str = setting("small", choices=("small", "large", "learned"), help="beta-tilde, beta, or in between")
    order, stochastic, evaluations = 1, True, 1
    aliases = ("DDPMScheduler", "sample_ddpm", "DDPMParallelScheduler")

    @derived
    def needs(self) -> tuple[str, ...]:
        return ("variance",) if self.variance == "learned" else ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0, *shares = yield x, s
            small, large = ancestral_std(s, t), _forward_std(s, t)
            x = bridge(x, x0, s, t, small)
            if t.sigma and shares:
                x = x.add_(noise(s, t) * (shares[0] * math.log(large / small)).exp_(), alpha=small)
            elif t.sigma:
                x = x.add_(noise(s, t), alpha=small if self.variance == "small" else large)
        return x


def _ancestral(x: Tensor, path: Path, noise: Noise, std: Std, eta: float, s_noise: float = 1.0) -> Run:
    for s, t in path:
        x, x0 = yield x, s
        u = std(s, t, eta)
        x = bridge(x, x0, s, t, u)
        if u:
            x = x.add_(noise(s, t), alpha=u * s_noise)
    return x


def flow_std(s: Level, t: Level, eta: float) -> float:
    """Standard deviation of the noise that brings back what a step down in flow time took away, at most sigma_t."""
    start, end = (level.sigma / (level.alpha + level.sigma) for level in (s, t))
    down = max(0.0, end * (1 + eta * (end / start - 1)))
    kept = t.alpha * down / (1 - down)
    return math.sqrt((t.sigma - kept) * (t.sigma + kept))


def _forward_std(s: Level, t: Level) -> float:
    """sqrt(beta) of the variance preserving step between t and s, in the scale of t."""
    r = (s.alpha * t.sigma) / (t.alpha * s.sigma)
    return t.norm * s.sigma / s.norm * math.sqrt((1 - r) * (1 + r))

"""Single-step exponential integrators of the reverse-time SDE: predictions at stages inside the step.

A stage is a point of the same random path as the end, so their noises are correlated: the noise from s to t is that
from s to the stage, carried on, plus what is new from the stage to t. Each part is asked for by its own interval.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import ancestral_std, bridge
from .derived import derived
from .level import Level, between
from .reverse_sde import moments, reverse_std
from .settings import setting, settings
from .sums import pair, times

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

EXPONENTIAL_HEUN = {"exp_heun_2_x0_sde": {"r": 1.0, "solver": "phi_2"}}


@settings
class DPMppSDE:
    """DPM-Solver++ (stochastic), k-diffusion's two-stage method with ancestral steps to the stage and to the end.

    x_t = bridge(x, x0 + (x0_stage - x0) / (2r); u) + s_noise * u * z,    stage at the share r of the step in log-SNR

    Lu et al. 2022, arXiv:2211.01095; k-diffusion's ``sample_dpmpp_sde`` (Crowson 2022). With eta = 1 it is SEEDS-2.
    """

    eta: float = setting(1.0, low=0.0, help="share of the reverse process's noise; 0 is the ODE")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    r: float = setting(0.5, low=0.05, high=1.0, help="where the stage is, as a share of the step in log-SNR")
    order, stochastic, evaluations, needs = 2, True, 2, ()
    aliases = ("sample_dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_sde_2s", "DPMSolverSDEScheduler")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        weight = 1 / (2 * self.r)
        for s, t in path:
            x, x0 = yield x, s
            u, z = ancestral_std(s, t, self.eta), None
            if s.alpha and t.sigma:
                stage = _inside(s, t, self.r)
                u_stage = ancestral_std(s, stage, self.eta)
                x_stage = bridge(x, x0, s, stage, u_stage)
                if u_stage:
                    z = noise(s, stage)
                    x_stage = x_stage.add_(z, alpha=u_stage * self.s_noise)
                _, x0_stage = yield x_stage, stage
                x0 = pair(x0, x0_stage, 1 - weight, weight)
            x = bridge(x, x0, s, t, u)
            if u:
                z = noise(s, t) if z is None else _continued(z, noise, s, stage, t)
                x = x.add_(z, alpha=u * self.s_noise)
        return x


@settings
class Seeds2:
    """SEEDS-2: exponential Runge-Kutta with two stages on the reverse SDE.

    x_t = bridge(x, x0; u) + alpha_t w (x0_stage - x0) + s_noise * u * z,    stage at the share r of the step

    "phi_1" takes w = phi_1 / (2r), "phi_2" the weight that is exact for x0 linear in log-SNR. With eta = 0 and "phi_1"
    it is DPM++ 2S. Gonzalez et al. 2023, arXiv:2305.14267, for predictions of x0.
    """

    eta: float = setting(1.0, low=0.0, help="amount of noise; 0 is the ODE, 1 the reverse SDE")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    r: float = setting(0.5, low=0.05, high=1.0, help="where the stage is, as a share of the step in log-SNR")
    solver: str = setting("phi_1", choices=("phi_1", "phi_2"), help="weight of the stage's prediction")
    order, stochastic, evaluations, needs = 2, True, 2, ()
    aliases = ("sample_seeds_2",)
    variants = EXPONENTIAL_HEUN

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0 = yield x, s
            sde = _Noise(noise, self.eta, self.s_noise, s)
            if not (s.alpha and t.sigma):
                x = sde.step(x, x0, t)
                continue
            stage = _inside(s, t, self.r)
            _, x0_stage = yield sde.step(x, x0, stage), stage
            whole, linear = moments((1 + self.eta) * (t.half_logsnr - s.half_logsnr), 2)
            w = whole / (2 * self.r) if self.solver == "phi_1" else linear / self.r
            x = sde.step(x, x0, t).add_(x0_stage - x0, alpha=t.alpha * w)
        return x


@settings
class Seeds3:
    """SEEDS-3: exponential Runge-Kutta with three stages, at 1/3 and 2/3 of the step in log-SNR, on the reverse SDE.

    x_2 = bridge(x, x0; u_2) + 2 alpha_2 phi_2 (x0_1 - x0) + noise
    x_t = bridge(x, x0; u) + 3/2 alpha_t phi_2 (x0_2 - x0) + noise

    Third order for eta = 0 (DPM-Solver-3's stages). The distribution is second order, because only the covariances of
    the noise with itself are matched, not those of its integrals. Gonzalez et al. 2023, arXiv:2305.14267.
    """

    eta: float = setting(1.0, low=0.0, help="amount of noise; 0 is the ODE, 1 the reverse SDE")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    stochastic, evaluations, needs = True, 3, ()
    aliases = ("sample_seeds_3",)

    @derived
    def order(self) -> int:
        return 2 if self.eta else 3

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0 = yield x, s
            sde = _Noise(noise, self.eta, self.s_noise, s)
            if not (s.alpha and t.sigma):
                x = sde.step(x, x0, t)
                continue
            z = (1 + self.eta) * (t.half_logsnr - s.half_logsnr)
            first, second = _inside(s, t, 1 / 3), _inside(s, t, 2 / 3)
            _, x0_1 = yield sde.step(x, x0, first), first
            x_2 = sde.step(x, x0, second).add_(x0_1 - x0, alpha=2 * second.alpha * moments(z * 2 / 3, 2)[1])
            _, x0_2 = yield x_2, second
            x = sde.step(x, x0, t).add_(x0_2 - x0, alpha=1.5 * t.alpha * moments(z, 2)[1])
        return x


class _Noise:
    """The noise of one step's random path, from s to further and further levels."""

    def __init__(self, noise: Noise, eta: float, scale: float, s: Level) -> None:
        self.noise, self.eta, self.scale, self.start, self.at = noise, eta, scale, s, s
        self.carried: Tensor | None = None

    def step(self, x: Tensor, x0: Tensor, t: Level) -> Tensor:
        """bridge(x, x0; u) + scale * u * z at t, where z continues what was drawn at the level before."""
        x = bridge(x, x0, self.start, t, reverse_std(self.start, t, self.eta))
        u = reverse_std(self.at, t, self.eta)
        kept = math.sqrt((t.sigma - u) * (t.sigma + u)) / self.at.sigma
        new = times(self.noise(self.at, t), u) if u else None
        if self.carried is not None:
            carried = times(self.carried, kept)
            new = carried if new is None else carried.add_(new)
        self.carried, self.at = new, t
        return x if new is None else x.add_(new, alpha=self.scale)


def _inside(s: Level, t: Level, r: float) -> Level:
    """The level at the share r of the step in log(alpha/sigma)."""
    return between(s, t, s.half_logsnr + r * (t.half_logsnr - s.half_logsnr)) if r < 1 else t


def _continued(z: Tensor, noise: Noise, s: Level, stage: Level, t: Level) -> Tensor:
    """Unit noise of the whole step from unit noise z up to the stage: the shares they have in the reverse process."""
    before, after = (-math.expm1(2 * (a.half_logsnr - b.half_logsnr)) for a, b in ((s, stage), (stage, t)))
    share = math.sqrt((1 - after) * before / (after + (1 - after) * before))
    return z if share == 1 else pair(z, noise(stage, t), share, math.sqrt((1 - share) * (1 + share)))

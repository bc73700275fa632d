"""Samplers for distilled networks, whose x0 is a point of the data and no mean of many.

They replace the noise at each step, all of it or a share that does not fall as steps grow. That is right where x0 is a
sample already (consistency models). With the x0 of an ordinary diffusion network, an average, the images lose
contrast, and more steps do not converge to its distribution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import bridge
from .protocols import NoiseSchedule
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .path import Path
    from .protocols import Noise, Run


@settings
class LCM:
    """Latent consistency sampling: x0, then fresh noise at t.

    x_t = alpha_t x0 + sigma_t z

    Luo et al. 2023, arXiv:2310.04378. For distilled networks only; it is DDIM with all noise replaced.
    """

    order, stochastic, evaluations, needs = 1, True, 1, ()
    aliases = ("sample_lcm", "LCMScheduler", "FlowMatchLCMScheduler", "SCMScheduler")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0 = yield x, s
            x = bridge(x, x0, s, t, t.sigma)
            if t.sigma:
                x = x.add_(noise(s, t), alpha=t.sigma)
        return x


@settings
class Consistency:
    """Multistep consistency sampling: x0, which counts as an image at sigma_min, then noise from there up to t.

    x_t = alpha_t (x0 + sqrt((sigma_t/alpha_t)^2 - sigma_min^2) z)

    Song et al. 2023, arXiv:2303.01469, Algorithm 1. For consistency models only; sigma_min = 0 is ``lcm``.
    """

    sigma_min: float = setting(0.002, low=0.0, help="sigma/alpha at which the network's output is an image")
    order, stochastic, evaluations, needs = 1, True, 1, ()
    aliases = ("CMStochasticIterativeScheduler",)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0 = yield x, s
            x, least = x0 * t.alpha, t.alpha * self.sigma_min
            if t.sigma > least:
                x = x.add_(noise(s, t), alpha=math.sqrt((t.sigma - least) * (t.sigma + least)))
        return x


@settings
class TCD:
    """Trajectory consistency: along the ODE to a level r below t, then noise from there up to t.

    x_t = bridge(x, x0; u) + u z,    u^2 = sigma_t^2 - (alpha_t sigma_r / alpha_r)^2

    Zheng et al. 2024, arXiv:2402.19159 (strategic stochastic sampling). gamma = 0 is DDIM, 1 is ``lcm``. r
    has (1 - gamma) times the time of t in ``schedule``; without one, (1 - gamma) times its sigma/alpha. For distilled
    networks; with any other, the share of replaced noise does not fall as steps grow.
    """

    gamma: float = setting(0.3, low=0.0, high=1.0, help="share of time, or of sigma/alpha, that is noised again")
    schedule: NoiseSchedule | None = setting(None, kind="schedule", help="the model's: measures time as the paper does")
    order, stochastic, evaluations, needs = 1, True, 1, ()
    aliases = ("TCDScheduler",)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0 = yield x, s
            kept = self._kept(t) if t.sigma else 1.0
            u = t.sigma * math.sqrt((1 - kept) * (1 + kept))
            x = bridge(x, x0, s, t, u)
            if u:
                x = x.add_(noise(s, t), alpha=u)
        return x

    def _kept(self, t: Level) -> float:
        """sigma/alpha of r as a share of that of t."""
        if self.schedule is None or self.gamma in (0, 1):
            return 1 - self.gamma
        r = self.schedule.level((1 - self.gamma) * self.schedule.time(t))
        return min(1.0, r.ve_sigma / t.ve_sigma)

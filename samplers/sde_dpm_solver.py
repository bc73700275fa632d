"""SDE-DPM-Solver: the reverse-time SDE with eps held smooth, where SDE-DPM-Solver++ holds x0."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import ancestral_std, bridge
from .derived import derived
from .form import noise_of
from .linear_multistep import exact, halved
from .settings import setting, settings
from .sums import pair

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

WEIGHTS = {"midpoint": halved, "heun": exact}


@settings
class SDEDPMSolver:
    """SDE-DPM-Solver-1 and its multistep second order, on the variance exploding reverse SDE in k = sigma/alpha.

    y_t = y_s + (1 + eta) (k_t - k_s) e + s_noise sqrt(eta (k_s^2 - k_t^2)) z,    y = x/alpha

    e is eps at s, or with two points extrapolated linearly in log-SNR from the last two ("midpoint" with the slope's
    weight 1/2, "heun" with the exact one). A step from alpha = 0 is ancestral and one to sigma = 0 returns x0, as the
    noise of this formula would stay. eps grows stiff near clean images, which is why SDE-DPM-Solver++ is preferred.
    Lu et al. 2022, arXiv:2211.01095, section 4.3 and appendix B.
    """

    points: int = setting(2, low=1, high=2, help="predictions used, the newest included")
    eta: float = setting(1.0, low=0.0, help="amount of noise; 0 is DPM-Solver, 1 the reverse SDE")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    solver: str = setting("midpoint", choices=tuple(WEIGHTS), help="weight of the previous prediction")
    stochastic, evaluations, needs = True, 1, ()

    @derived
    def order(self) -> int:
        return self.points

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        last: tuple[float, Tensor] | None = None
        for s, t in path:
            x, x0 = yield x, s
            if not (s.alpha and t.sigma):
                u = ancestral_std(s, t, min(1.0, self.eta))
                x = bridge(x, x0, s, t, u)
            else:
                eps, here, h = noise_of(x, x0, s), s.half_logsnr, t.half_logsnr - s.half_logsnr
                slope = eps
                if last and self.points > 1:
                    _, weight = WEIGHTS[self.solver]([0.0, (last[0] - here) / h], h)
                    slope = pair(eps, last[1], 1 - weight, weight)
                last = here, eps
                scale = t.alpha / s.alpha
                kept = s.sigma * scale  # k_s in the scale of t
                u = math.sqrt(self.eta * (kept - t.sigma) * (kept + t.sigma))
                x = pair(x, slope, scale, (1 + self.eta) * (t.sigma - kept))
            if u:
                x = x.add_(noise(s, t), alpha=u * self.s_noise)
        return x

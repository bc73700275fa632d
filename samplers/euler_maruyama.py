"""The plainest discretisation of the reverse-time SDE."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import ancestral_std, bridge
from .settings import setting, settings
from .sums import pair

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class EulerMaruyama:
    """Euler-Maruyama on the variance exploding reverse SDE, with noise scaled by eta; "reverse diffusion" for eta = 1.

    y_t = y_s + (1 + eta)/2 (k_s^2 - k_t^2) score + sqrt(eta (k_s^2 - k_t^2)) z,    y = x/alpha, k = sigma/alpha

    with score = (x0 - y_s) / k_s^2. A last step to sigma = 0 returns x0, as the noise of this formula would stay; one
    from alpha = 0 is ancestral. eta = 0 is Euler's method in k^2, which more steps do not mend
    next to pure noise. Song et al. 2020, arXiv:2011.13456, section 4.2 and appendix E.
    """

    eta: float = setting(1.0, low=0.0, high=3.0, help="amount of noise; 0 is the ODE, 1 the reverse SDE")
    order, stochastic, evaluations, needs = 1, True, 1, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0 = yield x, s
            if s.alpha and t.sigma:
                ratio, scale = (s.alpha * t.sigma) / (t.alpha * s.sigma), t.alpha / s.alpha
                gone = (1 - ratio) * (1 + ratio)  # (k_s^2 - k_t^2) / k_s^2
                drift = (1 + self.eta) / 2 * gone
                u = scale * s.sigma * math.sqrt(self.eta * gone)
                x = pair(x, x0, scale * (1 - drift), t.alpha * drift)
            else:
                u = ancestral_std(s, t, min(1.0, self.eta))
                x = bridge(x, x0, s, t, u)
            if u:
                x = x.add_(noise(s, t), alpha=u)
        return x

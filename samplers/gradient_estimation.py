"""Sampling as gradient descent on the distance to the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bridge import bridge
from .form import follow, noise_of
from .settings import setting, settings
from .sums import pair

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class GradientEstimation:
    """Gradient estimation: Euler's step along an extrapolated eps.

    x_t = alpha_t/alpha_s x + (sigma_t - sigma_s alpha_t/alpha_s) (gamma eps + (1 - gamma) eps_last)

    gamma = 2 lowers the error of an imperfect network's eps; on an exact one it is first order, as is any gamma but
    3/2 on equal steps (Adams-Bashforth). gamma = 1 is Euler. Permenter, Yuan 2023, arXiv:2306.04848, Algorithm 2.
    """

    gamma: float = setting(2.0, low=1.0, high=5.0, help="weight of the newest eps; the last one has 1 - gamma")
    order, stochastic, evaluations, needs = 1, False, 1, ()
    aliases = ("sample_gradient_estimation",)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        last = None
        for s, t in path:
            x, x0 = yield x, s
            eps = noise_of(x, x0, s)
            if last is None or not (s.alpha and t.sigma):
                x = bridge(x, x0, s, t)
            else:
                x = follow(x, pair(eps, last, self.gamma, 1 - self.gamma), s, t)
            last = eps
        return x

"""Heun's method: an Euler step, then the average of the slopes at both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bridge import bridge
from .settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class Heun:
    """Heun's second-order method, integrating eps over sigma/alpha.

    x_t/alpha_t = x_s/alpha_s + (k_t - k_s) * (eps_s + eps_t) / 2,    k = sigma/alpha

    Two evaluations a step; one where an end is infinite (alpha_s = 0) or clean (sigma_t = 0). On flow models other
    programs integrate the velocity over time, which is ``runge_kutta(method=heun2, quantity=flow)``.
    Karras et al. 2022, arXiv:2206.00364, Algorithm 1.
    """

    order, stochastic, evaluations, needs = 2, False, 2, ()
    aliases = ("sample_heun", "HeunDiscreteScheduler")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0 = yield x, s
            euler = bridge(x, x0, s, t)
            if not (s.alpha and t.sigma):
                x = euler
                continue
            eps = (x - x0 * s.alpha) / s.sigma
            euler, x0_t = yield euler, t
            eps_t = (euler - x0_t * t.alpha) / t.sigma
            x = (x * (t.alpha / s.alpha)).add_(eps + eps_t, alpha=(t.sigma - s.sigma * t.alpha / s.alpha) / 2)
        return x

"""Heun's method: an Euler step, then the average of the slopes at both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .form import NOISE
from .settings import settings
from .tableau import classical, single_step

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

TRAPEZOID = classical((1.0,), (0.5, 0.5))


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
        return (yield from single_step(x, path, NOISE, TRAPEZOID))

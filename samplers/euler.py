"""Euler's method, which is DDIM without noise: one evaluation a step, first order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bridge import bridges
from .settings import settings
from .sums import pair

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class Euler:
    """Euler's method on the probability-flow ODE, the same thing as DDIM with eta = 0.

    x_t = sigma_t/sigma_s * x + (alpha_t - sigma_t/sigma_s * alpha_s) * x0

    Karras et al. 2022, arXiv:2206.00364, Algorithm 1 without correction; Song et al. 2020, arXiv:2010.02502, eq. 12.
    """

    order, stochastic, evaluations, needs = 1, False, 1, ()
    aliases = ("sample_euler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, (keep, share) in zip(path.levels, bridges(path.levels), strict=False):
            x, x0 = yield x, s
            x = pair(x, x0, keep, share)
        return x

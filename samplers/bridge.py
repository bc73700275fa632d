"""The one transition all samplers are made of: from level s to level t along a straight line to a prediction of x0.

    x_t = alpha_t * x0 + sqrt(sigma_t^2 - u^2) * eps + u * z,    eps = (x_s - alpha_s * x0) / sigma_s,    z ~ N(0, I)

For the true x0 it keeps the marginal distribution whatever u in [0, sigma_t] (DDIM, arXiv:2010.02502, eq. 12, for
any alpha and sigma). u = 0 is DDIM and Euler's method; u = ``ancestral_std(s, t)`` is DDPM and ancestral sampling.
alpha_s = 0 (zero terminal SNR, flow) and sigma_t = 0 are ordinary values here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from .level import Level
from .sums import pair

if TYPE_CHECKING:
    from torch import Tensor


def bridge(x: Tensor, x0: Tensor, s: Level, t: Level, u: float = 0.0) -> Tensor:
    """The mean of x_t given x_s = x and x0, leaving room for fresh noise of standard deviation u <= sigma_t."""
    return pair(x, x0, *shares(s, t, u))


@lru_cache(maxsize=2**8)
def bridges(levels: tuple[Level, ...]) -> list[tuple[float, float]]:
    """The ``shares`` of each step of a path without noise; kept, because the next batch walks the same path."""
    return [shares(s, t) for s, t in pairwise(levels)]


def shares(s: Level, t: Level, u: float = 0.0) -> tuple[float, float]:
    """What x and x0 are multiplied with in ``bridge``."""
    keep = math.sqrt((t.sigma - u) * (t.sigma + u)) / s.sigma
    return keep, t.alpha - keep * s.alpha


def ancestral_std(s: Level, t: Level, eta: float = 1.0) -> float:
    """Standard deviation of the noise that the reverse process adds from s to t, times eta, at most sigma_t.

    eta * sigma_t / sigma_s * sqrt(sigma_s^2 - (alpha_s / alpha_t)^2 sigma_t^2): the posterior deviation of
    DDPM (arXiv:2006.11239, eq. 7) and k-diffusion's ``sigma_up``, for any alpha and sigma.
    """
    r = (s.alpha * t.sigma) / (t.alpha * s.sigma)
    return min(t.sigma, eta * t.sigma * math.sqrt((1 - r) * (1 + r)))

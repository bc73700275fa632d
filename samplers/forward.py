"""The forward process between two levels: from t up to a noisier s, for methods that go back.

    x_s = alpha_s / alpha_t * x_t + u * z,    u^2 = sigma_s^2 - (alpha_s / alpha_t)^2 * sigma_t^2,    z ~ N(0, I)

In variance exploding levels it adds noise of variance s^2 - t^2; any other process needs the factor on x too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .level import Level, between
from .sums import pair

if TYPE_CHECKING:
    from torch import Tensor


def diffuse(x: Tensor, t: Level, s: Level, z: Tensor, scale: float = 1.0) -> Tensor:
    """Noise x at level t up to level s with unit normal z, times scale."""
    return pair(x, z, s.alpha / t.alpha, forward_std(t, s) * scale)


def forward_std(t: Level, s: Level) -> float:
    """Standard deviation of the noise that the forward process adds from t to s."""
    kept = s.alpha / t.alpha * t.sigma
    return math.sqrt((s.sigma - kept) * (s.sigma + kept))


def raised(s: Level, t: Level, gamma: float) -> Level:
    """The level with (1 + gamma) times the sigma/alpha of s, on the straight line from t through s."""
    return between(s, t, s.half_logsnr - math.log1p(gamma))

"""Noise levels: where a noisy image stands between data and noise.

    x = alpha * x0 + sigma * eps,    eps ~ N(0, I)

Variance exploding (k-diffusion, EDM) is ``(1, s)``, variance preserving (DDPM, Stable Diffusion) is
``(sqrt(abar), sqrt(1 - abar))``, rectified flow (SD3, Flux) is ``(1 - s, s)``, zero terminal SNR starts at ``(0, 1)``.
Levels with the same ratio sigma/alpha carry the same information; they differ by the scale of x alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Level(NamedTuple):
    """One noise level ``(alpha, sigma)``, two Python floats that are >= 0 and not both 0."""

    alpha: float
    sigma: float

    @property
    def ve_sigma(self) -> float:
        """The sigma of k-diffusion and EDM: sigma / alpha, in [0, inf]."""
        return self.sigma / self.alpha if self.alpha else math.inf

    @property
    def half_logsnr(self) -> float:
        """lambda = log(alpha / sigma), from -inf (pure noise) to +inf (clean); arXiv:2206.00927 section 3."""
        if not self.alpha:
            return -math.inf
        return math.log(self.alpha / self.sigma) if self.sigma else math.inf

    @property
    def norm(self) -> float:
        """sqrt(alpha^2 + sigma^2), the standard deviation of x for data of unit variance."""
        return math.hypot(self.alpha, self.sigma)

    def noisier_than(self, other: Level) -> bool:
        """Whether sigma/alpha is larger here, decided without a division so that alpha = 0 is nothing special."""
        return self.sigma * other.alpha > other.sigma * self.alpha


CLEAN = Level(1.0, 0.0)
PURE_NOISE = Level(0.0, 1.0)


def variance_preserving(ve_sigma: float) -> Level:
    """The level with alpha^2 + sigma^2 = 1 and the given sigma/alpha, in [0, inf]."""
    if math.isinf(ve_sigma):
        return PURE_NOISE
    norm = math.hypot(1.0, ve_sigma)
    return Level(1.0 / norm, ve_sigma / norm)


def between(s: Level, t: Level, half_logsnr: float) -> Level:
    """The level on the chord from s to t with the given log(alpha/sigma).

    The chord keeps variance exploding levels at alpha = 1 and flow levels at alpha + sigma = 1 exactly. On a variance
    preserving path the norm dips slightly below 1, which a denoiser undoes when it scales x to its network's own norm.
    """
    ratio = math.exp(-half_logsnr)  # sigma / alpha
    excess_s, excess_t = s.sigma - ratio * s.alpha, ratio * t.alpha - t.sigma
    r = excess_s / (excess_s + excess_t)
    return Level(s.alpha + r * (t.alpha - s.alpha), s.sigma + r * (t.sigma - s.sigma))

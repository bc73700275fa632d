"""Steps at the quantiles of a beta distribution of time: dense at both ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from ..level import CLEAN
from ..settings import setting, settings
from .spread import at_least_one

if TYPE_CHECKING:
    from ..level import Level
    from ..protocols import NoiseSchedule


@settings
class Beta:
    """t = (1 + (T - 1) * q(1 - i / steps)) / T, i = 0 ... steps - 1, then clean; q is the quantile function.

    T = timesteps of the schedule. Times are neither rounded nor dropped. The quantiles are of time, as in the paper
    and ComfyUI; AUTOMATIC1111 and diffusers take them of sigma, which is another spacing.
    Lee et al. 2024, arXiv:2407.12173.
    """

    alpha: float = setting(0.6, low=0.3, high=10.0, help="smaller is denser at low noise")
    beta: float = setting(0.6, low=0.3, high=10.0, help="smaller is denser at high noise")
    aliases: ClassVar[tuple[str, ...]] = ("BetaSamplingScheduler",)

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        grid = schedule.timesteps
        quantiles = [1.0] + [beta_quantile(1 - i / steps, self.alpha, self.beta) for i in range(1, steps)]
        return [schedule.level((1 + (grid - 1) * q) / grid) for q in quantiles] + [CLEAN]


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = p, by Newton's method kept within a shrinking bracket; relative error about 1e-14."""
    if p > beta_cdf(a / (a + b), a, b):
        return 1 - _lower_quantile(1 - p, b, a)
    return _lower_quantile(p, a, b)


def _lower_quantile(p: float, a: float, b: float) -> float:
    log_beta = _log_beta(a, b)
    x = min(0.5, math.exp((math.log(p * a) + log_beta) / a))  # the power law near 0
    low, high = 0.0, 1.0
    for _ in range(100):
        excess = beta_cdf(x, a, b) - p
        low, high = (low, x) if excess > 0 else (x, high)
        slope = math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - log_beta)
        step = x - excess / slope
        previous, x = x, step if low < step < high else (low + high) / 2
        if abs(x - previous) <= 1e-15 * x:
            break
    return x


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b); doi:10.6028/NIST.DLMF 8.17.22, by Lentz's method."""
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    if x <= 0:
        return 0.0
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)) / a
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / (1 + term * d), 1 + term / c
            fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return front * fraction


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

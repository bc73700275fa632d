"""A spacing that follows the density by which a network was trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from ..level import CLEAN, Level
from ..settings import setting, settings
from .spread import at_least_one

if TYPE_CHECKING:
    from ..protocols import NoiseSchedule


@settings
class Laplace:
    """log(sigma/alpha) at equal quantiles of a Laplace distribution cut off at sigma_max and sigma_min; then clean.

    Most steps lie around exp(mu). Cutting off the distribution, not its samples, keeps the levels distinct. Where the
    schedule ends at alpha = 0 the first level is pure noise. Hang et al. 2024, arXiv:2407.03297, table 1; its
    distribution is of log-SNR = -2 log(sigma/alpha), whose scale is 2 * beta.
    """

    mu: float = setting(0.0, low=-10.0, high=10.0, help="log of the sigma/alpha with most steps")
    beta: float = setting(0.5, low=0.05, high=10.0, help="width of the distribution; smaller is more peaked")
    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first sigma/alpha; default: the noisiest level")
    aliases: ClassVar[tuple[str, ...]] = ("LaplaceScheduler",)

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        at_least_one(steps)
        first = schedule.project(Level(1.0, self.sigma_max)) if self.sigma_max else schedule.level(1.0)
        last = (
            schedule.project(Level(1.0, self.sigma_min)) if self.sigma_min else schedule.level(1 / schedule.timesteps)
        )
        if not first.noisier_than(last):
            raise ValueError(f"sigma_min = {last.ve_sigma:g} must be below sigma_max = {first.ve_sigma:g}")
        tails = [self._tails(first), self._tails(last)]
        n = max(steps - 1, 1)
        inner = (tuple((a * (n - i) + b * i) / n for a, b in zip(*tails, strict=True)) for i in range(1, n))
        sigmas = [math.exp(self._quantile(below, above)) for below, above in inner]
        middle = [schedule.project(Level(1.0, sigma)) for sigma in sigmas]
        return [first, *middle, *([last] if steps > 1 else []), CLEAN]

    def _tails(self, level: Level) -> tuple[float, float]:
        """Probability below and above, each without cancellation."""
        log_sigma = -level.half_logsnr
        tail = 0.5 * math.exp(-abs(log_sigma - self.mu) / self.beta)
        return (tail, 1 - tail) if log_sigma < self.mu else (1 - tail, tail)

    def _quantile(self, below: float, above: float) -> float:
        if below < above:
            return self.mu + self.beta * math.log(2 * below)
        return self.mu - self.beta * math.log(2 * above)

"""Schedules given by a table of levels, above all the variance preserving ones given by betas."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate, pairwise

from ..level import CLEAN, Level, variance_preserving


class BetaSchedule(ABC):
    """What is left to say of such a schedule is its betas; a concrete one is a frozen dataclass with ``timesteps``."""

    @abstractmethod
    def betas(self) -> list[float]:
        """The variances of the forward steps, cleanest first; abar_i is the product of 1 - beta up to i."""

    def level(self, t: float) -> Level:
        return _table(self).level(t)

    def time(self, level: Level) -> float:
        return _table(self).time(level)

    def project(self, level: Level) -> Level:
        return variance_preserving(level.ve_sigma)


class Table:
    """Levels at t = i / T for i = 1 ... T, and a continuous, exactly invertible curve through them.

    log(sigma/alpha) is linear between neighbours, as in k-diffusion. From t = 0, which is clean, to the first entry
    sigma/alpha is linear. Levels are variance preserving.

    Raises:
        ValueError: for a level that is clean, pure noise or no noisier than the one before, naming its index.
    """

    def __init__(self, levels: Iterable[Level]) -> None:
        self.levels = list(levels)
        self.log_sigmas = [-level.half_logsnr for level in self.levels]
        for i, (clean, noisy) in enumerate(pairwise([-math.inf, *self.log_sigmas])):
            if not clean < noisy < math.inf:
                raise ValueError(
                    f"entry {i} of the noise schedule has sigma/alpha = {math.exp(noisy):g} after {math.exp(clean):g}; "
                    "they must grow and be finite (for a last entry of pure noise use zero_terminal_snr)"
                )
        self.first_sigma = self.levels[0].ve_sigma

    def level(self, t: float) -> Level:
        position = t * len(self.levels) - 1.0
        nearest = round(position)
        if 0 <= nearest < len(self.levels) and abs(position - nearest) < 1e-9:
            return self.levels[nearest]
        if position < 0:
            return variance_preserving(self.first_sigma * (position + 1.0)) if t > 0 else CLEAN
        i = math.floor(position)
        low, high = self.log_sigmas[i], self.log_sigmas[i + 1]
        return variance_preserving(math.exp(low + (position - i) * (high - low)))

    def time(self, level: Level) -> float:
        if not level.sigma:
            return 0.0
        log_sigma = -level.half_logsnr
        i = bisect_left(self.log_sigmas, log_sigma)
        if i == 0:
            return level.ve_sigma / self.first_sigma / len(self.levels)
        if i == len(self.log_sigmas):
            return 1.0
        low, high = self.log_sigmas[i - 1], self.log_sigmas[i]
        return (i + (log_sigma - low) / (high - low)) / len(self.levels)


def levels_of(betas: Iterable[float]) -> list[Level]:
    """The variance preserving levels after each forward step."""
    abar = accumulate((1.0 - beta for beta in betas), lambda a, b: a * b)
    return [Level(math.sqrt(a), math.sqrt(1.0 - a)) for a in abar]


@lru_cache(maxsize=64)
def _table(schedule: BetaSchedule) -> Table:
    return Table(levels_of(schedule.betas()))

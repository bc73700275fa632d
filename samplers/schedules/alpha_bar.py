"""Variance preserving schedules given by abar(t) = alpha(t)^2, continuous in time."""

from __future__ import annotations

import math
from typing import ClassVar

from ..level import PURE_NOISE, Level, variance_preserving
from ..settings import setting, settings


@settings
class Exp:
    """abar(t) = exp(-rate t), a constant beta.

    https://github.com/huggingface/diffusers, ``betas_for_alpha_bar`` with ``alpha_transform_type="exp"``.
    """

    rate: float = setting(12.0, low=0.1, high=100.0, help="-log abar at t = 1")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("exp_alpha_bar",)

    def level(self, t: float) -> Level:
        return Level(math.exp(-self.rate * t / 2), math.sqrt(-math.expm1(-self.rate * t)))

    def time(self, level: Level) -> float:
        return min(1.0, _minus_log_abar(level) / self.rate)

    def project(self, level: Level) -> Level:
        return variance_preserving(level.ve_sigma)


@settings
class VPSDE:
    """abar(t) = exp(-beta_d t^2 / 2 - beta_min t), the variance preserving stochastic differential equation.

    Song et al. 2020, arXiv:2011.13456, appendix C.
    """

    beta_d: float = setting(19.9, low=0.01, high=1000.0, help="slope of beta(t)")
    beta_min: float = setting(0.1, low=1e-6, high=1000.0, help="beta(0)")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("ScoreSdeVpScheduler",)

    def level(self, t: float) -> Level:
        log = t * (self.beta_d * t / 2 + self.beta_min)
        return Level(math.exp(-log / 2), math.sqrt(-math.expm1(-log)))

    def time(self, level: Level) -> float:
        log = _minus_log_abar(level)
        if math.isinf(log):
            return 1.0
        return min(1.0, 2 * log / (self.beta_min + math.sqrt(self.beta_min**2 + 2 * self.beta_d * log)))

    def project(self, level: Level) -> Level:
        return variance_preserving(level.ve_sigma)


@settings
class Laplace:
    """log(abar / (1 - abar)) = mu - b sgn(1/2 - t) log(1 - 2 |t - 1/2|): from clean to pure noise, densest around mu.

    t is the share of training examples with less noise. diffusers' ``laplace`` is another function: it takes the
    square root and half of the logarithm. Hang et al. 2024, arXiv:2407.03297, table 1.
    """

    mu: float = setting(0.0, low=-20.0, high=20.0, help="log of alpha^2 / sigma^2 at t = 1/2")
    b: float = setting(0.5, low=0.05, high=20.0, help="width; smaller trains more around mu")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("laplace_alpha_bar",)

    def level(self, t: float) -> Level:
        center = math.exp(-self.mu / 2)
        if t <= 0.5:
            return variance_preserving(center * (2 * t) ** (self.b / 2))
        alpha = (2 * (1 - t)) ** (self.b / 2)
        norm = math.hypot(alpha, center)
        return Level(alpha / norm, center / norm)

    def time(self, level: Level) -> float:
        sigma, alpha = level.sigma * math.exp(self.mu / 2), level.alpha
        if sigma <= alpha:
            return (sigma / alpha) ** (2 / self.b) / 2
        return 1 - (alpha / sigma) ** (2 / self.b) / 2

    def project(self, level: Level) -> Level:
        return variance_preserving(level.ve_sigma)


@settings
class TrigFlow:
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): from clean to pure noise by equal angles.

    Salimans, Ho 2022, arXiv:2202.00512; Lu, Song 2024, arXiv:2410.11081, section 3.1.
    """

    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("v_continuous", "SCMScheduler")

    def level(self, t: float) -> Level:
        if t == 1:
            return PURE_NOISE
        return Level(math.cos(t * math.pi / 2), math.sin(t * math.pi / 2))

    def time(self, level: Level) -> float:
        return math.atan2(level.sigma, level.alpha) / (math.pi / 2)

    def project(self, level: Level) -> Level:
        return variance_preserving(level.ve_sigma)


def _minus_log_abar(level: Level) -> float:
    return math.log1p(level.ve_sigma**2)

"""The two schedules called sigmoid: of betas, and of abar."""

from __future__ import annotations

import math
from typing import ClassVar

from ..level import Level, variance_preserving
from ..settings import setting, settings
from .table import BetaSchedule


@settings
class SigmoidBetas(BetaSchedule):
    """beta_i = beta_start + (beta_end - beta_start) / (1 + exp(-x_i)), x linear from -6 to 6 over the grid.

    The ``sigmoid`` of diffusers. Xu et al. 2022 (GeoDiff), arXiv:2203.02923.
    """

    beta_start: float = setting(1e-4, low=1e-8, high=0.999, help="beta of the cleanest step, nearly")
    beta_end: float = setting(0.02, low=1e-8, high=0.999, help="beta of the noisiest step, nearly")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("geodiff",)

    def betas(self) -> list[float]:
        ramp = (12 * i / (self.timesteps - 1) - 6 for i in range(self.timesteps))
        return [self.beta_start + (self.beta_end - self.beta_start) / (1 + math.exp(-x)) for x in ramp]


@settings
class Sigmoid:
    """abar(t) = (f(1) - f(t)) / (f(1) - f(0)), f(t) = sigmoid((start + (end - start) t) / tau): clean to pure noise.

    Computed without a difference: abar : 1 - abar = sinh(D (1-t) / 2) cosh(s / 2) : sinh(D t / 2) cosh(e / 2), where
    s, e = start / tau, end / tau and D = e - s. Jabri, Fleet, Chen 2022, arXiv:2212.11972; Chen 2023,
    arXiv:2301.10972, Algorithm 1.
    """

    start: float = setting(-3.0, low=-20.0, high=20.0, help="argument of the sigmoid at t = 0")
    end: float = setting(3.0, low=-20.0, high=20.0, help="argument of the sigmoid at t = 1; above start")
    tau: float = setting(1.0, low=0.1, high=10.0, help="temperature: smaller is steeper")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("sigmoid_alpha_bar", "sigmoid_beta_schedule")

    def level(self, t: float) -> Level:
        s, e = self._ends()
        alpha = math.sqrt(math.sinh((e - s) * (1 - t) / 2) * math.cosh(s / 2))
        sigma = math.sqrt(math.sinh((e - s) * t / 2) * math.cosh(e / 2))
        norm = math.hypot(alpha, sigma)
        return Level(alpha / norm, sigma / norm)

    def time(self, level: Level) -> float:
        if not level.alpha:
            return 1.0
        s, e = self._ends()
        ratio = level.ve_sigma**2 * math.cosh(s / 2) / math.cosh(e / 2)
        span = e - s
        return (math.log1p(ratio * math.exp(span / 2)) - math.log1p(ratio * math.exp(-span / 2))) / span

    def project(self, level: Level) -> Level:
        return variance_preserving(level.ve_sigma)

    def _ends(self) -> tuple[float, float]:
        if self.start >= self.end:
            raise ValueError(f"start = {self.start:g} must be below end = {self.end:g}")
        return self.start / self.tau, self.end / self.tau

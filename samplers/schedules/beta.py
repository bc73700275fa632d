"""The discrete schedules of DDPM, latent diffusion and improved DDPM, defined by their betas."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

from ..settings import setting, settings
from .table import BetaSchedule


@settings
class Linear(BetaSchedule):
    """beta linear in time: beta_i = beta_start + (beta_end - beta_start) * (i - 1) / (timesteps - 1).

    Ho, Jain, Abbeel 2020, arXiv:2006.11239, section 4.
    """

    beta_start: float = setting(1e-4, low=1e-8, high=0.999, help="beta of the cleanest step")
    beta_end: float = setting(0.02, low=1e-8, high=0.999, help="beta of the noisiest step")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")

    def betas(self) -> list[float]:
        return _ramp(self.beta_start, self.beta_end, self.timesteps)


@settings
class ScaledLinear(BetaSchedule):
    """sqrt(beta) linear in time, the schedule of latent diffusion, Stable Diffusion 1.5 and SDXL (ComfyUI: ``linear``).

    beta_i = (sqrt(beta_start) + (sqrt(beta_end) - sqrt(beta_start)) * (i - 1) / (timesteps - 1))^2

    Rombach et al. 2021, arXiv:2112.10752.
    """

    beta_start: float = setting(0.00085, low=1e-8, high=0.999, help="beta of the cleanest step")
    beta_end: float = setting(0.012, low=1e-8, high=0.999, help="beta of the noisiest step")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")

    def betas(self) -> list[float]:
        return [root**2 for root in _ramp(math.sqrt(self.beta_start), math.sqrt(self.beta_end), self.timesteps)]


@settings
class Cosine(BetaSchedule):
    """abar(t) = cos^2((t + s) / (1 + s) * pi / 2), as betas capped at 0.999.

    Nichol, Dhariwal 2021, arXiv:2102.09672, eq. 17 (diffusers: ``squaredcos_cap_v2``).
    """

    s: float = setting(0.008, low=0.0, high=1.0, help="offset that keeps the first betas from vanishing")
    timesteps: int = setting(1000, low=2, high=100_000, help="size of the training grid")
    aliases: ClassVar[tuple[str, ...]] = ("squaredcos_cap_v2",)

    def betas(self) -> list[float]:
        ends = [self._abar(i / self.timesteps) for i in range(self.timesteps + 1)]
        return [min(0.999, 1 - end / begin) for begin, end in pairwise(ends)]

    def _abar(self, t: float) -> float:
        return math.cos((t + self.s) / (1 + self.s) * math.pi / 2) ** 2


def _ramp(start: float, end: float, count: int) -> list[float]:
    return [start + (end - start) * i / (count - 1) for i in range(count)]

"""EDM's stochasticity, for any sampler: before a step, noise is added and the step starts higher up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .derived import derived, inner
from .forward import diffuse, raised
from .heun import Heun
from .path import Path
from .protocols import Sampler
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .protocols import Noise, Run

EDGE = 1 + 1e-9
"""Levels equal to a bound but for rounding are inside."""


@settings
class Churn:
    """Raise sigma/alpha of a step's start by the factor 1 + gamma with fresh noise, then take the step from there.

    gamma = min(s_churn / steps, sqrt(2) - 1) where sigma/alpha is in [s_tmin, s_tmax], else 0
    x_hat = alpha_hat/alpha_s x + s_noise * sqrt(sigma_hat^2 - (alpha_hat/alpha_s)^2 sigma_s^2) z

    Karras et al. 2022, arXiv:2206.00364, Algorithm 2, with ``heun`` or any other sampler; a multistep method starts
    anew at each raised step, since its history belongs to another path. Nothing is added to pure noise, and no step
    starts above the path's first level, where networks are not trained; with ``compat`` it may, as in k-diffusion.
    """

    sampler: Sampler = setting(Heun(), kind="sampler", help="the method that takes the steps")
    s_churn: float = setting(5.0, low=0.0, help="total amount of added noise; has no more effect above 0.41 * steps")
    s_tmin: float = setting(0.0, low=0.0, help="no noise is added where sigma/alpha is below this")
    s_tmax: float | None = setting(None, low=0.0, help="no noise is added where sigma/alpha is above this")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    compat: bool = setting(False, help="raise above the path's first level too, as in k-diffusion")
    stochastic, evaluations, needs = True, inner("evaluations"), inner("needs")
    aliases = ("KarrasVeScheduler",)

    @derived
    def order(self) -> int:
        """A step that starts anew has at most the order of its number of evaluations."""
        return min(self.sampler.order, self.sampler.evaluations or self.sampler.order)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        runs: list[tuple[float, list[Level]]] = []  # gamma of the first step, levels
        for s, t in path:
            gamma = self._gamma(s, path)
            if gamma or not runs:
                runs.append((gamma, [s, t]))
            else:
                runs[-1][1].append(t)
        for gamma, levels in runs:
            if gamma:
                s, t = levels[:2]
                levels[0] = raised(s, t, gamma)
                x = diffuse(x, s, levels[0], noise(s, t), self.s_noise)
            x = yield from self.sampler(x, Path(levels), noise)
        return x

    def _gamma(self, s: Level, path: Path) -> float:
        inside = self.s_tmin <= s.ve_sigma * EDGE and (self.s_tmax is None or s.ve_sigma <= self.s_tmax * EDGE)
        if not (inside and s.alpha):
            return 0.0
        room = math.inf if self.compat else path.levels[0].ve_sigma / s.ve_sigma - 1
        return min(self.s_churn / len(path), math.sqrt(2) - 1, room)

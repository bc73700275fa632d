"""Restart: going back to a noisier level and walking part of the path again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .derived import inner
from .forward import diffuse
from .heun import Heun
from .path import Path
from .protocols import Sampler
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .protocols import Noise, Run

EDGE = 1 + 1e-9
"""Levels equal to a bound but for rounding are inside."""


@settings
class Restart:
    """Walk down to ``low``, then as often as told: noise up to ``high`` in one go and walk down to ``low`` again.

    x_high = alpha_high/alpha_low x_low + sqrt(sigma_high^2 - (alpha_high/alpha_low)^2 sigma_low^2) z

    Each repeat contracts what errors the steps above have left. Xu et al. 2023, arXiv:2306.14878, with
    ``heun`` or any other sampler. ``low`` and ``high`` stand for the nearest levels of the path between them, and the
    levels walked again are the path's own. Model evaluations: those of the part between, once more for each repeat.
    """

    sampler: Sampler = setting(Heun(), kind="sampler", help="the method that takes the steps")
    low: float = setting(0.1, low=0.0, help="sigma/alpha from which to go back")
    high: float = setting(2.0, low=0.0, help="sigma/alpha to go back to")
    repeats: int = setting(1, low=0, help="how often")
    order, stochastic, evaluations, needs = inner("order"), True, inner("evaluations"), inner("needs")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        levels = path.levels
        inside = [i for i, level in enumerate(levels) if self.low <= level.ve_sigma * EDGE <= self.high * EDGE**2]
        if len(inside) < 2:
            return (yield from self.sampler(x, path, noise))
        top, bottom = inside[0], inside[-1]
        x = yield from self.sampler(x, Path(levels[: bottom + 1]), noise)
        for _ in range(self.repeats):
            x = diffuse(x, levels[bottom], levels[top], noise(levels[top], levels[bottom]))
            x = yield from self.sampler(x, Path(levels[top : bottom + 1]), noise)
        if bottom < len(path):
            x = yield from self.sampler(x, Path(levels[bottom:]), noise)
        return x

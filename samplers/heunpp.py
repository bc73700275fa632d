"""Heun++, kept because it is known: more slopes than Heun's method, and a lower order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bridge import bridge
from .form import follow, noise_of
from .settings import settings
from .sums import weighted

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class HeunPP2:
    """Heun++ 2: a mean of the slopes here and at the next levels, weighted by their share of the first sigma/alpha.

    x_t/alpha_t = x_s/alpha_s + (k_t - k_s) (w_s eps_s + w_t eps_t + w_u eps_u),    w_t = k_t / 3 k_0, w_u = k_u / 3 k_0

    with u the level after t and k_0 = sigma/alpha of the path's first finite level. The weights do not depend on the
    step, so three evaluations a step give first order; ``heun`` and ``runge_kutta`` are better in every respect. The
    last step but one uses two slopes (w_t = k_t / 2 k_0), the last one is Euler's.
    No paper; https://github.com/Carzit/sd-webui-samplers-scheduler, ComfyUI's ``heunpp2``.
    """

    order, stochastic, evaluations, needs = 1, False, 3, ()
    aliases = ("sample_heunpp2",)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        levels = path.levels
        largest = next(level.ve_sigma for level in levels if level.alpha)
        for i, (s, t) in enumerate(path):
            x, x0 = yield x, s
            if t is levels[-1] or not s.alpha:
                x = bridge(x, x0, s, t)
                continue
            eps, at, point = [noise_of(x, x0, s)], s, x
            further = levels[i + 1 : i + 3] if levels[i + 2] is not levels[-1] else (t,)
            for level in further:
                point, x0 = yield follow(point, eps[-1], at, level), level
                eps, at = [*eps, noise_of(point, x0, level)], level
            shares = [level.ve_sigma / (len(eps) * largest) for level in further]
            x = follow(x, weighted(eps, (1 - sum(shares), *shares)), s, t)
        return x

"""Analytic-DPM: the reverse variance that is best for a model, from statistics measured beforehand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import ancestral_std, bridge
from .model_statistics import DATA_PREDICTION, statistics_in
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .path import Path
    from .protocols import Noise, Run


@settings
class AnalyticDPM:
    """DDPM whose noise also stands for what a prediction of x0 does not know.

    u^2 = beta-tilde + (dmean/dx0)^2 v,    v = (sigma_s/alpha_s)^2 (1 - l),    l = E |eps|^2 / d

    v is the mean variance of x0 given x, l the statistic of that name in ``dpm_solver_v3``, of which it takes the same
    table: ``samplers.model_statistics.measured`` makes it for a model. With the default, l = 1, it is ``ddpm`` with
    small variance. For Gaussian data its own statistics are exact in any number of steps. Bao et al. 2022,
    arXiv:2201.06503, eq. 7 and 8, where l is named Gamma.
    """

    statistics: tuple = setting(DATA_PREDICTION, help="rows of log(alpha/sigma), l, s, b; of l, linear in between")
    order, stochastic, evaluations, needs = 1, True, 1, ()

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            x, x0 = yield x, s
            small = ancestral_std(s, t)
            x = bridge(x, x0, s, t, small)
            if t.sigma:
                x = x.add_(noise(s, t), alpha=math.hypot(small, self._unknown(s, t, small)))
        return x

    def _unknown(self, s: Level, t: Level, small: float) -> float:
        """Deviation in the mean of x_t by that of x0."""
        model = statistics_in(self.statistics)
        at = max(s.half_logsnr, model.at[0])
        weight = t.alpha - math.sqrt((t.sigma - small) * (t.sigma + small)) / s.sigma * s.alpha
        return weight * math.exp(-at) * math.sqrt(max(0.0, 1 - model.l(at)))

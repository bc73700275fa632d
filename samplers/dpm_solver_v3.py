"""DPM-Solver-v3: a multistep method whose linear part is fitted to a model, by statistics measured beforehand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import bridge
from .derived import derived
from .linear_multistep import interpolate
from .model_statistics import DATA_PREDICTION, statistics_in
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class DPMSolverV3:
    """With y = x / alpha and lambda = log(alpha / sigma): dy = -(l y + f) dlambda, f = (1 - l) y - x0.

    y_t = e^-L(t) (y_s - integral from s to t of e^(L+S) (B + g) dlambda),    g = e^-S f - B

    L and S are the integrals of l and s from the step's start, B that of e^-S b, and g the polynomial in lambda through
    the last ``points`` predictions, as B and S make them. l, s and b are of the model: with l the mean derivative of
    its noise and s f + b the best line for f' it changes least along a trajectory. l = 1, s = b = 0 is ``res_2m``, the
    default; l = 0, s = -1 is ``deis``. For Gaussian data its own statistics are exact in one step.

    Zheng et al. 2023, arXiv:2310.13268, Algorithm 1, one number for all pixels where theirs are one for each, without
    corrector. ``samplers.model_statistics.measured`` makes the table for a model, a guidance scale included.
    """

    statistics: tuple = setting(DATA_PREDICTION, help="rows of log(alpha/sigma), l, s, b; linear in between")
    points: int = setting(2, low=1, high=3, help="predictions used, the newest included")
    stochastic, evaluations, needs = False, 1, ()

    @derived
    def order(self) -> int:
        return min(self.points, 2)  # after a start by one point; corners of the table allow no more

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        model = statistics_in(self.statistics)
        history: list[tuple[float, Tensor]] = []  # log(alpha/sigma) and f, newest first
        for s, t in path:
            x, x0 = yield x, s
            if not (s.alpha and t.sigma):
                x = bridge(x, x0, s, t)
                continue
            start, end = s.half_logsnr, t.half_logsnr
            y = x / s.alpha
            history = [(start, y * (1 - model.l(start)) - x0), *history[: self.points - 1]]
            nodes = [(at - start) / (end - start) for at, _ in history]
            moments, shift = model.integrals(start, end, len(nodes))
            for weight, (at, f) in zip(interpolate(nodes, moments), history, strict=True):
                y = y.sub(f, alpha=weight * math.exp(-model.s_integral(start, at)))
                shift -= weight * model.b_integral(start, at)
            x = (y - shift) * (t.alpha * math.exp(-model.l_integral(start, end)))
        return x

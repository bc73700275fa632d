"""SA-Solver: Adams methods on the reverse-time SDE, predicted and corrected with one evaluation a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import bridge
from .derived import derived
from .reverse_sde import adams_weights, reverse_std
from .settings import setting, settings
from .sums import pair, weighted

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .path import Path
    from .protocols import Noise, Run

PECE = {"sa_solver_pece": {"pece": True}}
Step = tuple[float, float, float, "Tensor"]
"""Log(alpha/sigma) where it starts, its length h, z, and the mean x0 it was predicted with."""

EDGE = 1 + 1e-9
"""Levels equal to a bound but for rounding are inside."""


@settings
class SASolver:
    """Stochastic Adams solver: x0 as a polynomial in log-SNR through earlier predictions, and through the newest one.

    predictor    x_t = sigma_t/sigma_s e^(-tau^2 h) x + alpha_t sum_i b_i x0_i + sigma_t sqrt(1 - e^(-2 tau^2 h)) z
    corrector    the same step once x0 at the predicted x_t is known: x_t + alpha_t (sum_i c_i x0_i - sum_i b_i x0_i)

    Xue et al. 2023, arXiv:2309.05019 (data prediction); with ``pece``, x0 is predicted again at the corrected x_t, and
    the last step is corrected too. tau is 0 where sigma/alpha is outside
    [low, high]. The orders are numbers of predictions used, fewer in the first steps; corrector 0 is none. Written as a
    change of x_t, the correction keeps the noise and what the host did to x. With tau = 0 it is an exponential Adams
    pair; tau^2 is ``eta`` of the other SDE methods.
    """

    tau: float = setting(1.0, low=0.0, help="amount of noise; 0 is the ODE, 1 the reverse SDE")
    predictor: int = setting(3, low=1, high=4, help="predictions in the predictor")
    corrector: int = setting(4, low=0, high=4, help="predictions in the corrector, the newest one included; 0 is none")
    low: float = setting(0.0, low=0.0, help="no noise is added where sigma/alpha is below this")
    high: float | None = setting(None, low=0.0, help="no noise is added where sigma/alpha is above this")
    pece: bool = setting(False, help="evaluate once more after the correction: two evaluations a step")
    stochastic, needs = True, ()
    aliases = ("sample_sa_solver", "SASolverScheduler")
    variants = PECE

    @derived
    def order(self) -> int:
        return min(2, max(self.predictor, self.corrector))

    @derived
    def evaluations(self) -> int:
        return 2 if self.pece and self.corrector else 1

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        history: list[tuple[Tensor, float]] = []  # (x0, log(alpha/sigma)), newest first
        step: Step | None = None
        for s, t in path:
            x, x0 = yield x, s
            if step and self.corrector and not self.pece:
                x = self._corrected(x, x0, s, history, step)
            eta = self._eta(s)
            u = reverse_std(s, t, eta)
            step = None
            if s.alpha:
                history = [(x0, s.half_logsnr), *history[:3]]
            if s.alpha and t.sigma:
                start, h = s.half_logsnr, t.half_logsnr - s.half_logsnr
                z, keep = (1 + eta) * h, math.sqrt((t.sigma - u) * (t.sigma + u)) / s.sigma
                step = start, h, z, _mean(history[: self.predictor], start, h, z)
                x = pair(x, step[-1], keep, t.alpha)
            else:
                x = bridge(x, x0, s, t, u)
            if u:
                x = x.add_(noise(s, t), alpha=u)
            if step and self.corrector and self.pece:
                x, x0 = yield x, t
                x = self._corrected(x, x0, t, history, step)
        return x

    def _corrected(self, x: Tensor, x0: Tensor, at: Level, history: list[tuple[Tensor, float]], step: Step) -> Tensor:
        """x at the end of the step once its x0 is known; history ends at the step's start."""
        start, h, z, predicted = step
        corrected = _mean([(x0, at.half_logsnr), *history][: self.corrector], start, h, z)
        return x + (corrected - predicted) * at.alpha

    def _eta(self, s: Level) -> float:
        inside = self.low <= s.ve_sigma * EDGE and (self.high is None or s.ve_sigma <= self.high * EDGE)
        return self.tau**2 if inside else 0.0


def _mean(values: list[tuple[Tensor, float]], start: float, h: float, z: float) -> Tensor:
    """The step's weighted sum of predictions (x0, log(alpha/sigma)); start and h place them on the step."""
    weights = adams_weights([(at - start) / h for _, at in values], z)
    return weighted([x0 for x0, _ in values], weights)

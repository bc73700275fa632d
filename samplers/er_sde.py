"""Extended reverse-time SDEs: a family of noise injections between the ODE and the SDE, and beyond."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .bridge import bridge
from .derived import derived
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .path import Path
    from .protocols import Noise, Run

SCALERS = ("er", "sde", "ode")

RECTANGLES = 200

NODES = (
    (0.1252334085114689, 0.2491470458134028),
    (0.3678314989981802, 0.2334925365383548),
    (0.5873179542866175, 0.2031674267230659),
    (0.7699026741943047, 0.1600783285433462),
    (0.9041172563704749, 0.1069393259953184),
    (0.9815606342467193, 0.0471753363865118),
)
"""Gauss-Legendre on [-1, 1], 12 points: the positive places and their weights."""


@settings
class ERSDE:
    """ER-SDE-Solver: x0 as a polynomial in k = sigma/alpha under the noise scaler phi(k).

    x_t = bridge(x, x0; u) + alpha_t (a_1 x0' + a_2 x0''/2) + s_noise * u * z,    u^2 = sigma_t^2 (1 - (g_t / g_s)^2)

    phi(k) = k g(k):  "er" k (e^(k^0.3) + 10), "sde" k^2 (the reverse SDE), "ode" k (no noise).
    a_j = (k_t - k_s)^j + j phi(k_t) integral_(k_t)^(k_s) (k - k_s)^(j-1) / phi(k) dk, by quadrature.
    Cui et al. 2023, arXiv:2309.06169; x0' and x0'' are those of the parabola through the last three
    predictions. compat=True takes the difference of the last two for x0', as the paper does, and 200 rectangles for the
    integral, as its code and ComfyUI do.
    """

    scaler: str = setting("er", choices=SCALERS, help="how much noise: phi(k)")
    stages: int = setting(3, low=1, high=3, help="predictions used: 1 constant, 2 line, 3 parabola")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    compat: bool = setting(False, help="slope and integral as in the authors' code and ComfyUI; order 1")
    stochastic, evaluations, needs = True, 1, ()
    aliases = ("sample_er_sde",)

    @derived
    def order(self) -> int:
        return 1 if self.compat else min(self.stages, 2)  # the rectangles' error is first order in the step

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        history: list[tuple[Tensor, float]] = []  # (x0, sigma/alpha), newest first
        for s, t in path:
            x, x0 = yield x, s
            ratio = math.exp(self._log_g(t.ve_sigma) - self._log_g(s.ve_sigma)) if s.alpha else self._from_noise
            u = t.sigma * math.sqrt((1 - ratio) * (1 + ratio))
            x = bridge(x, x0, s, t, u)
            if history and t.sigma:
                (x0_1, k_1), k_s, k_t = history[0], s.ve_sigma, t.ve_sigma
                slope = (x0 - x0_1) / (k_s - k_1)
                if len(history) > 1:
                    x0_2, k_2 = history[1]
                    second = (slope - (x0_1 - x0_2) / (k_1 - k_2)) / (k_s - k_2)
                    if not self.compat:
                        slope = slope + second * (k_s - k_1)
                    square = (k_t - k_s) ** 2 + 2 * self._integral(s, t, 1)
                    x = x.add_(second, alpha=t.alpha * square)
                x = x.add_(slope, alpha=t.alpha * (k_t - k_s + self._integral(s, t, 0)))
            if u:
                x = x.add_(noise(s, t), alpha=u * self.s_noise)
            if s.alpha:
                history = [(x0, s.ve_sigma), *history][: self.stages - 1]
        return x

    @property
    def _from_noise(self) -> float:
        """g_t / g_s from pure noise: g grows without bound but for the ODE."""
        return 1.0 if self.scaler == "ode" else 0.0

    def _log_g(self, k: float) -> float:
        if self.scaler == "ode":
            return 0.0
        if self.scaler == "sde":
            return math.log(k) if k else -math.inf
        return k**0.3 + math.log1p(10 * math.exp(-(k**0.3)))

    def _integral(self, s: Level, t: Level, power: int) -> float:
        """phi(k_t) integral (k - k_s)^power / phi(k) dk from k_t to k_s; over log k, where phi(k) / k is smooth."""
        k_s, k_t, log_t = s.ve_sigma, t.ve_sigma, self._log_g(t.ve_sigma)
        if self.compat:
            width = (k_s - k_t) / RECTANGLES
            places = [k_t + i * width for i in range(RECTANGLES)]
            return width * sum((k - k_s) ** power * k_t / k * math.exp(log_t - self._log_g(k)) for k in places)
        parts = math.ceil(math.log(k_s / k_t) / 2)
        half = math.log(k_s / k_t) / parts / 2
        total = 0.0
        for part in range(parts):
            middle = math.log(k_t) + half * (2 * part + 1)
            for node, weight in NODES:
                for log_k in (middle - half * node, middle + half * node):
                    k = math.exp(log_k)
                    total += weight * (k - k_s) ** power * math.exp(log_t - self._log_g(k))
        return k_t * half * total

"""The kit is right about right samplers it was not made with: other orders, stages between levels, other histories."""

import math
from dataclasses import dataclass
from typing import ClassVar

from sigmabench.samplers.bridge import bridge
from sigmabench.samplers.level import between
from sigmabench.samplers.testing import parametrize


@dataclass(frozen=True)
class Midpoint:
    """DPM-Solver++(2S) with r = 1/2: x0 at the midpoint in log-SNR (arXiv:2211.01095, Algorithm 1)."""

    order: ClassVar[int] = 2
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            if s.alpha and t.sigma:
                middle = between(s, t, (s.half_logsnr + t.half_logsnr) / 2)
                _, x0 = yield bridge(x, x0, s, middle), middle
            x = bridge(x, x0, s, t)
        return x


@dataclass(frozen=True)
class RungeKutta4:
    """The classical method on dy/dk = eps, y = x / alpha, k = sigma / alpha."""

    order: ClassVar[int] = 4
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 4
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            if not (s.alpha and t.sigma):
                x = bridge(x, x0, s, t)
                continue
            y, h = x / s.alpha, t.ve_sigma - s.ve_sigma
            slopes = [(y - x0) / s.ve_sigma]
            for share in (0.5, 0.5, 1.0):
                k = s.ve_sigma + share * h
                level = between(s, t, -math.log(k)) if share < 1 else t
                stage = y + share * h * slopes[-1]
                _, x0 = yield stage * level.alpha, level
                slopes.append((stage - x0) / k)
            a, b, c, d = slopes
            x = (y + h / 6 * (a + 2 * b + 2 * c + d)) * t.alpha
        return x


@dataclass(frozen=True)
class AdamsBashforth2:
    """eps extrapolated linearly in sigma / alpha, with the coefficients of unequal steps."""

    order: ClassVar[int] = 2
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, x, path, noise):
        last = None
        for s, t in path:
            x, x0 = yield x, s
            if not (s.alpha and t.sigma):
                x = bridge(x, x0, s, t)
                continue
            h, eps = t.ve_sigma - s.ve_sigma, (x - s.alpha * x0) / s.sigma
            slope = eps + h / (2 * last[1]) * (eps - last[0]) if last else eps
            x, last = (x / s.alpha + h * slope) * t.alpha, (eps, h)
        return x


@parametrize([Midpoint(), RungeKutta4(), AdamsBashforth2()])
def test_a_correct_sampler_passes_every_check(check):
    check()

"""What a solver takes to be smooth, and in which variable: six forms of one differential equation.

With y = x / alpha and k = sigma / alpha = e^-lambda, the probability-flow ODE (arXiv:2011.13456) is each of

    dy = eps dk                          NOISE           eps in k, the form of Runge-Kutta and Adams methods
    dy = -e^-lambda eps dlambda          NOISE_LOG_SNR   eps in lambda, arXiv:2206.00927 eq. 3.4
    d(y / k) = e^lambda x0 dlambda       DATA            x0 in lambda, arXiv:2211.01095 eq. 8
    d(y / k) = q dlambda                 LAWSON          q = x0 / k in lambda, doi:10.1137/0704033
    d(y (1 - u)) = v du                  FLOW            v = eps - x0 in u = sigma / (alpha + sigma), arXiv:2209.03003
    d(y cos a) = v da                    ANGLE           v = eps cos a - x0 sin a in a = atan k, arXiv:2202.00512 app. D

FLOW and ANGLE are finite at alpha = 0, where u = 1 and a = pi/2; ANGLE is exact for data N(0, 1), whose v is 0. A step
replaces the quantity by a weighted mean of predictions, whose weights add to 1, and is then exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .bridge import shares
from .level import Level, between
from .sums import times, weighted

if TYPE_CHECKING:
    from torch import Tensor


class Form(NamedTuple):
    """A quantity that is interpolated, the variable it is interpolated in, and the weight that variable brings.

    Attributes:
        parts: of a level, (p, q) with quantity = p x + q x0.
        moves: of s and t, (a, b) with x_t = a x + b * mean quantity. Needs alpha > 0 at s but for FLOW, ANGLE and DATA.
        variable: of a level with alpha > 0 and sigma > 0.
        half_logsnr: log(alpha / sigma) from the variable.
        exponent: of the weight e^(-exponent * variable) under the integral.
        pure_noise: whether it is finite at alpha = 0.
    """

    parts: Callable[[Level], tuple[float, float]]
    moves: Callable[[Level, Level], tuple[float, float]]
    variable: Callable[[Level], float]
    half_logsnr: Callable[[float], float]
    exponent: float = 0.0
    pure_noise: bool = False

    def value(self, x: Tensor, x0: Tensor, level: Level) -> Tensor:
        """The quantity, from x and x0 at a level."""
        p, q = self.parts(level)
        return weighted((x, x0), (p, q)) if p else x0 if q == 1 else times(x0, q)

    def move(self, x: Tensor, quantity: Tensor, s: Level, t: Level) -> Tensor:
        """x at t, from x at s and the mean quantity between."""
        return weighted((x, quantity), self.moves(s, t))

    def spans(self, s: Level, t: Level) -> bool:
        """Whether both ends are finite; a step that has an infinite one or ends at sigma = 0 is Euler's."""
        return bool((s.alpha or self.pure_noise) and t.sigma)

    def level(self, s: Level, t: Level, share: float) -> Level:
        """The level that lies that share of the way from s to t in the variable."""
        start, end = self.variable(s), self.variable(t)
        return t if share == 1 else between(s, t, self.half_logsnr(start + share * (end - start)))


def noise_of(x: Tensor, x0: Tensor, level: Level) -> Tensor:
    """eps = (x - alpha x0) / sigma."""
    return weighted((x, x0), _eps(level))


def follow(x: Tensor, eps: Tensor, s: Level, t: Level) -> Tensor:
    """x_t = alpha_t / alpha_s x + (sigma_t - sigma_s alpha_t / alpha_s) eps: Euler's step along eps, alpha_s > 0."""
    return weighted((x, eps), _follow(s, t))


def _eps(level: Level) -> tuple[float, float]:
    return 1 / level.sigma, -level.alpha / level.sigma


def _follow(s: Level, t: Level) -> tuple[float, float]:
    ratio = t.alpha / s.alpha
    return ratio, t.sigma - s.sigma * ratio


def _x0(level: Level) -> tuple[float, float]:
    return 0.0, 1.0


def _half_logsnr(level: Level) -> float:
    return level.half_logsnr


def _velocity(level: Level) -> tuple[float, float]:
    """v = eps - x0 = (x - (alpha + sigma) x0) / sigma."""
    return 1 / level.sigma, -(level.alpha + level.sigma) / level.sigma


def _flow(s: Level, t: Level) -> tuple[float, float]:
    """x_t = n_t (x / n_s + (u_t - u_s) v),    n = alpha + sigma."""
    norm = t.alpha + t.sigma
    return norm / (s.alpha + s.sigma), norm * (_flow_time(t) - _flow_time(s))


def _flow_time(level: Level) -> float:
    return level.sigma / (level.alpha + level.sigma)


def _rotation(level: Level) -> tuple[float, float]:
    """v = eps cos a - x0 sin a = (alpha x / n - n x0) / sigma,    n^2 = alpha^2 + sigma^2."""
    return level.alpha / (level.norm * level.sigma), -level.norm / level.sigma


def _turn(s: Level, t: Level) -> tuple[float, float]:
    """x_t = n_t (x / n_s + (a_t - a_s) v)."""
    return t.norm / s.norm, t.norm * (_angle(t) - _angle(s))


def _angle(level: Level) -> float:
    return math.atan2(level.sigma, level.alpha)


def _scaled_x0(level: Level) -> tuple[float, float]:
    return 0.0, level.alpha / level.sigma


def _lawson(s: Level, t: Level) -> tuple[float, float]:
    """x_t = sigma_t (x / sigma_s + (lambda_t - lambda_s) q)."""
    return t.sigma / s.sigma, t.sigma * (t.half_logsnr - s.half_logsnr)


NOISE = Form(_eps, _follow, lambda level: level.ve_sigma, lambda k: -math.log(k))
NOISE_LOG_SNR = Form(_eps, _follow, _half_logsnr, float, 1.0)
DATA = Form(_x0, shares, _half_logsnr, float, -1.0)
LAWSON = Form(_scaled_x0, _lawson, _half_logsnr, float)
FLOW = Form(_velocity, _flow, _flow_time, lambda u: math.log((1 - u) / u), pure_noise=True)
ANGLE = Form(_rotation, _turn, _angle, lambda a: -math.log(math.tan(a)), pure_noise=True)

QUANTITIES = {"eps": NOISE, "flow": FLOW, "angle": ANGLE, "lawson": LAWSON}
"""Forms without a weight, in which any classical method is one of the diffusion ODE, by the names of their settings."""
QUANTITY_HELP = (
    "what is integrated: eps over sigma/alpha, flow velocity over flow time, v over its angle, x0/k over log k"
)

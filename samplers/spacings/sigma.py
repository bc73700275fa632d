"""Spacings in sigma/alpha, the sigma of k-diffusion and EDM."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ..settings import setting, settings
from .spread import spread

if TYPE_CHECKING:
    from ..level import Level
    from ..protocols import NoiseSchedule


@settings
class Karras:
    """sigma_i = (sigma_max^(1/rho) + i/(steps-1) * (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, then clean.

    The ends default to the schedule's own. Where the schedule ends at alpha = 0 (zero terminal SNR, flow) the first
    level is pure noise, exactly, and sigma_max, which must then be given, is the second.
    Karras et al. 2022, arXiv:2206.00364, eq. 5.
    """

    rho: float = setting(7.0, low=0.1, high=100.0, help="larger spends more steps at low noise")
    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first finite sigma/alpha; default: the noisiest level")
    aliases: ClassVar[tuple[str, ...]] = ("get_sigmas_karras", "KarrasScheduler", "use_karras_sigmas")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return spread(schedule, steps, self.sigma_min, self.sigma_max, self._curve)

    def _curve(self, high: float, low: float, position: float) -> float:
        first, last = high ** (1 / self.rho), low ** (1 / self.rho)
        return (first + position * (last - first)) ** self.rho


@settings
class Exponential:
    """log sigma linear from sigma_max to sigma_min, which is uniform in log-SNR; then clean.

    The ends are those of ``karras``. k-diffusion's ``get_sigmas_exponential``; arXiv:2206.00927, section 3.
    """

    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first finite sigma/alpha; default: the noisiest level")
    aliases: ClassVar[tuple[str, ...]] = (
        "uniform_logsnr", "get_sigmas_exponential", "ExponentialScheduler", "use_exponential_sigmas", "use_lu_lambdas",
        "lu_lambdas", "log_linear"
    )  # fmt: skip

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return spread(schedule, steps, self.sigma_min, self.sigma_max, PolyExponential()._curve)


@settings
class PolyExponential:
    """log sigma_i = log sigma_min + (1 - i/(steps-1))^rho * (log sigma_max - log sigma_min), then clean.

    ``exponential`` is rho = 1. The ends are those of ``karras``.
    https://github.com/crowsonkb/k-diffusion, ``get_sigmas_polyexponential``.
    """

    rho: float = setting(1.0, low=0.1, high=100.0, help="larger spends more steps at low noise")
    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first finite sigma/alpha; default: the noisiest level")
    aliases: ClassVar[tuple[str, ...]] = ("get_sigmas_polyexponential", "PolyexponentialScheduler")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return spread(schedule, steps, self.sigma_min, self.sigma_max, self._curve)

    def _curve(self, high: float, low: float, position: float) -> float:
        return math.exp(math.log(low) + (1 - position) ** self.rho * (math.log(high) - math.log(low)))


@settings
class KarrasExponential:
    """sigma_i = (1 - w) karras_i + w exponential_i, w = blend (1 - i/steps); then clean.

    The ends are those of ``karras``. AUTOMATIC1111's starts at 1.1 of the schedule's noisiest sigma, scales those below
    1.5 sigma_min by 0.9 and never gets clean; https://github.com/AUTOMATIC1111/stable-diffusion-webui,
    ``karras_exponential_scheduler``. Karras et al. 2022, arXiv:2206.00364, eq. 5.
    """

    blend: float = setting(0.3, low=0.0, high=1.0, help="share of exponential at the start, falling to none")
    rho: float = setting(7.0, low=0.1, high=100.0, help="of karras: larger spends more steps at low noise")
    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first finite sigma/alpha; default: the noisiest level")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return spread(schedule, steps, self.sigma_min, self.sigma_max, partial(self._curve, steps))

    def _curve(self, steps: int, high: float, low: float, position: float) -> float:
        share = self.blend * (1 - position * (steps - 1) / steps)
        karras, exponential = Karras(self.rho), PolyExponential()
        return (1 - share) * karras._curve(high, low, position) + share * exponential._curve(high, low, position)


@settings
class VP:
    """t^(1/rho) linear from sigma_max to sigma_min, log(1 + sigma^2) = beta_d t^2 / 2 + beta_min t; then clean.

    With rho = 1 uniform in the time t of the variance preserving SDE. The ends are those of ``karras``; k-diffusion's
    ``get_sigmas_vp`` is sigma_max = 152.17 and sigma_min = 0.01049. Song et al. 2020, arXiv:2011.13456, appendix C.
    """

    beta_d: float = setting(19.9, low=0.01, high=1000.0, help="slope of beta(t)")
    beta_min: float = setting(0.1, low=1e-6, high=1000.0, help="beta(0)")
    rho: float = setting(1.0, low=0.1, high=100.0, help="larger spends more steps at low noise")
    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first finite sigma/alpha; default: the noisiest level")
    aliases: ClassVar[tuple[str, ...]] = ("get_sigmas_vp", "VPScheduler", "time_uniform")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        return spread(schedule, steps, self.sigma_min, self.sigma_max, self._curve)

    def _curve(self, high: float, low: float, position: float) -> float:
        first, last = self._time(high) ** (1 / self.rho), self._time(low) ** (1 / self.rho)
        t = (first + position * (last - first)) ** self.rho
        return math.sqrt(math.expm1(t * (self.beta_d * t / 2 + self.beta_min)))

    def _time(self, sigma: float) -> float:
        log = math.log1p(sigma**2)
        return 2 * log / (self.beta_min + math.sqrt(self.beta_min**2 + 2 * self.beta_d * log))

"""DPM-Solver-12 and 23: steps as long as the difference of two orders allows."""

from __future__ import annotations

import math
from collections.abc import Generator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .bridge import bridge
from .derived import derived
from .dpm_solver import THIRD_ORDER, second_order
from .form import NOISE_LOG_SNR
from .level import Level, between
from .settings import setting, settings
from .sums import weighted

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

ACCEPTED = 0.81
"""A step is taken if the next one may be at least this share of it."""

LAST = 1e-5
"""What is left of the path in log-SNR when a step goes to its end."""

PAIRS = {"12": (2, second_order(0.5)), "23": (3, THIRD_ORDER)}


@settings
class DPMAdaptive:
    """DPM-Solver with error control: the steps follow from the image, not from the path.

    error = |y_low - y| / max(atol, rtol max(|y_low|, |y_low of the last step|)), root mean square,    y = x/alpha
    h <- h (1 + atan(f - 1)),    f = error^(-1/order),    taken if the factor is at least 0.81

    in steps h of log(alpha/sigma) from the path's first finite level to its last; a step from alpha = 0 and one to
    sigma = 0 are Euler's. y is that of DPM-Solver-3 and y_low of DPM-Solver-2 ("23"), or 2 and 1 ("12").

    The error is that of one image, which must not depend on its neighbours: a run is of one image, and ``sample`` makes
    a run for each, evaluated together. Evaluations: ``order`` for each step tried, one less after a refused one.
    Lu et al. 2022, arXiv:2206.00927, appendix C; k-diffusion's ``sample_dpm_adaptive`` (Crowson 2022) without noise.
    """

    pair: str = setting("23", choices=tuple(PAIRS), help="orders of the two solutions whose difference is the error")
    rtol: float = setting(0.05, low=1e-8, help="tolerated error as a share of the image's values")
    atol: float = setting(0.0078, low=1e-8, help="tolerated error where the image is near 0")
    h_init: float = setting(0.05, low=1e-6, help="the first step in log-SNR")
    stochastic, evaluations, needs = False, None, ()
    aliases = ("sample_dpm_adaptive",)

    @derived
    def order(self) -> int:
        return PAIRS[self.pair][0]

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        if len(x) != 1:
            raise ValueError(f"dpm_adaptive steps as its image needs, got {len(x)} images: start a run for each")
        levels = path.levels
        finite = tuple(level for level in levels if level.alpha and level.sigma)
        if not levels[0].alpha:
            x, x0 = yield x, levels[0]
            x = bridge(x, x0, levels[0], levels[1])
        if len(finite) > 1:
            x = yield from self._controlled(x, finite)
        if levels[-2].alpha and not levels[-1].sigma:
            x, x0 = yield x, levels[-2]
            x = bridge(x, x0, levels[-2], levels[-1])
        return x

    def _controlled(self, x: Tensor, levels: tuple[Level, ...]) -> Run:
        """From the first of some finite levels to the last."""
        s, h, last = levels[0], self.h_init, levels[-1].half_logsnr - LAST
        x, x0 = yield x, s
        before = x / s.alpha
        while True:
            t = _inside(levels, s.half_logsnr + h) if s.half_logsnr + h < last else levels[-1]
            low, high = yield from self._attempt(x, x0, s, t, levels)
            allowed = (low.abs().maximum(before.abs()) * self.rtol).clamp(min=self.atol)
            error = ((low - high / t.alpha) / allowed).square().mean().sqrt().item()
            factor = 1 + math.atan((error + 1e-8) ** (-1 / self.order) - 1)
            h *= factor
            if factor < ACCEPTED:
                continue
            if t is levels[-1]:
                return high
            x, x0 = yield high, t
            s, before = t, low

    def _attempt(
        self, x: Tensor, x0: Tensor, s: Level, t: Level, levels: tuple[Level, ...]
    ) -> Generator[tuple[Tensor, Level], tuple[Any, ...], tuple[Tensor, Tensor]]:
        """x/alpha at t by the lower order, x at t by the higher."""
        form, (order, tableau) = NOISE_LOG_SNR, PAIRS[self.pair]
        begin, h = s.half_logsnr, t.half_logsnr - s.half_logsnr
        eps = [form.value(x, x0, s)]
        *rows, end = [(), *tableau.rows(form.exponent * h)]
        for share, row in zip(tableau.shares, rows, strict=True):
            level = _inside(levels, begin + share * h)
            stage, x0 = yield form.move(x, _mean(eps, row), s, level), level
            eps.append(form.value(stage, x0, level))
        lower = (1 / (2 * tableau.shares[0]),) if order == 3 else ()
        low = form.move(x, _mean(eps[: order - 1], lower), s, t)
        return low / t.alpha, form.move(x, _mean(eps, end), s, t)


def _mean(values: list[Tensor], row: Any) -> Tensor:
    return weighted(values, (1 - sum(row), *row))


def _inside(levels: tuple[Level, ...], half_logsnr: float) -> Level:
    """The level of the path with that log(alpha/sigma)."""
    for s, t in pairwise(levels):
        if half_logsnr < t.half_logsnr:
            return between(s, t, half_logsnr)
    return levels[-1]

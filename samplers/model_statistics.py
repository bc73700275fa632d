"""Statistics of a model along its noise levels, by which a solver may follow it: those of DPM-Solver-v3
and Analytic-DPM.

    l = E[mean diagonal of d(sigma eps)/dx],    f = (1 - l) y - x0,    f' = s f + b + what is left, by least squares

at each lambda = log(alpha / sigma), with y = x / alpha and f' along the probability-flow ODE. Zheng et al. 2023,
arXiv:2310.13268, section 3.1, with one number for all pixels.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from .level import Level

if TYPE_CHECKING:
    from torch import Tensor

    from .protocols import Denoiser, NoiseSchedule

Rows = tuple[tuple[float, ...], ...]
"""lambda, l, s, b at each lambda, growing."""

DATA_PREDICTION: Rows = ((0.0, 1.0, 0.0, 0.0),)
"""What makes the data prediction of DPM-Solver++ of it."""

GAUSS = (
    (-0.9061798459386640, 0.2369268850561891),
    (-0.5384693101056831, 0.4786286704993665),
    (0.0, 0.5688888888888889),
    (0.5384693101056831, 0.4786286704993665),
    (0.9061798459386640, 0.2369268850561891),
)
"""Gauss-Legendre on [-1, 1], 5 points: places and weights."""
WIDTH = 0.5
"""Widest part of a quadrature, in lambda."""


STRIDE = 0.01
"""Of the differences: in lambda, and in x as a share of its deviation."""
LEAST = 1e-3
"""Variance of f, as a share of the images', below which f is taken for one number, and its line for flat."""


class Statistics:
    """A table of l, s and b, linear in lambda between its rows and constant beyond, and its integrals.

    Raises:
        ValueError: for rows that are no four finite numbers each, or whose lambda does not grow.
    """

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        if not rows or any(len(row) != 4 or not all(map(math.isfinite, row)) for row in rows):
            raise ValueError("statistics: give rows of four numbers, log(alpha/sigma), l, s and b")
        self.at = [row[0] for row in rows]
        if not all(low < high for low, high in pairwise(self.at)):
            raise ValueError("statistics: log(alpha/sigma) must grow from row to row")
        self.columns = [[row[k] for row in rows] for k in (1, 2, 3)]
        self.areas = [list(accumulate(self._areas(values), initial=0.0)) for values in self.columns]

    def l(self, at: float) -> float:  # noqa: E743
        return self._value(0, at)

    def l_integral(self, start: float, end: float) -> float:
        return self._area(0, end) - self._area(0, start)

    def s_integral(self, start: float, end: float) -> float:
        return self._area(1, end) - self._area(1, start)

    def b_integral(self, start: float, end: float) -> float:
        """B: of e^-S b, with S from the start."""
        return sum(_quadrature(self._decayed(start), a, c) for a, c in self._parts(start, end))

    def integrals(self, start: float, end: float, count: int) -> tuple[list[float], float]:
        """Integrals of e^(L+S) tau^i for i < count, tau = 0 at the start and 1 at the end, and of e^(L+S) B."""
        moments, shift, b, decayed = [0.0] * count, 0.0, 0.0, self._decayed(start)
        for a, c in self._parts(start, end):
            for at, weight in _places(a, c):
                grown = weight * math.exp(self.l_integral(start, at) + self.s_integral(start, at))
                shift += grown * (b + _quadrature(decayed, a, at))
                for i in range(count):
                    moments[i] += grown * ((at - start) / (end - start)) ** i
            b += _quadrature(decayed, a, c)
        return moments, shift

    def _decayed(self, start: float) -> Callable[[float], float]:
        return lambda at: math.exp(-self.s_integral(start, at)) * self._value(2, at)

    def _parts(self, start: float, end: float) -> list[tuple[float, float]]:
        """Between the table's rows, where it is smooth, and short; in order from start to end."""
        low, high = sorted((start, end))
        corners = [low, *(at for at in self.at if low < at < high), high]
        parts = []
        for a, c in pairwise(corners):
            count = max(1, math.ceil((c - a) / WIDTH))
            edges = [a + (c - a) * i / count for i in range(count)] + [c]
            parts += list(pairwise(edges))
        return parts if start <= end else [(c, a) for a, c in reversed(parts)]

    def _areas(self, values: Sequence[float]) -> Iterator[float]:
        for (low, high), (a, b) in zip(pairwise(self.at), pairwise(values), strict=True):
            yield (high - low) * (a + b) / 2

    def _area(self, column: int, at: float) -> float:
        """The integral of a column from the first row on."""
        i = min(max(bisect_right(self.at, at), 1), len(self.at)) - 1
        ends = self.columns[column][i] + self._value(column, at)
        return self.areas[column][i] + (at - self.at[i]) * ends / 2

    def _value(self, column: int, at: float) -> float:
        i, values = bisect_right(self.at, at), self.columns[column]
        if i == 0 or i == len(self.at):
            return values[max(0, i - 1)]
        low, high = self.at[i - 1], self.at[i]
        return values[i - 1] + (at - low) / (high - low) * (values[i] - values[i - 1])


def _places(a: float, c: float) -> list[tuple[float, float]]:
    """Where to evaluate for an integral from a to c, and with which weights."""
    return [((a + c + (c - a) * place) / 2, (c - a) / 2 * weight) for place, weight in GAUSS]


def _quadrature(function: Callable[[float], float], a: float, c: float) -> float:
    return sum(weight * function(at) for at, weight in _places(a, c))


@lru_cache(maxsize=64)
def statistics_in(rows: Rows) -> Statistics:
    """A setting's table, read once."""
    return Statistics(rows)


def measured(
    denoiser: Denoiser, images: Tensor, noise: Tensor, schedule: NoiseSchedule, rows: int = 40, cleanest: float = 1e-3
) -> Rows:
    """The statistics of a model, guided or not, by differences: five evaluations of all images a row.

    Args:
        denoiser: answers E[x0 | x at level], guidance included.
        images: (B, *), clean.
        noise: as many, unit normal; its signs are also the probes of the mean derivative.
        rows: of the table, at equal distances in log(alpha/sigma).
        cleanest: time of its last row; the first is at the noisiest level of finite log(alpha/sigma).
    """
    end = schedule.level(cleanest).half_logsnr
    start = next(at for at in (schedule.level(t).half_logsnr for t in (1.0, 0.999)) if at > -math.inf)
    places = [start + (end - start) * i / (rows - 1) for i in range(rows)]
    slopes = [_mean_derivative(denoiser, images, noise, _level(schedule, at)) for at in places]
    linear = Statistics([(at, slope, 0.0, 0.0) for at, slope in zip(places, slopes, strict=True)])
    return tuple((at, linear.l(at), *_line(denoiser, images, noise, schedule, linear, at)) for at in places)


def _level(schedule: NoiseSchedule, half_logsnr: float) -> Level:
    return schedule.project(Level(1.0, math.exp(-half_logsnr)))


def _mean_derivative(denoiser: Denoiser, images: Tensor, noise: Tensor, level: Level) -> float:
    """l = 1 - alpha E[dx0/dx], by a central difference along random signs."""
    x, signs, apart = images * level.alpha + noise * level.sigma, noise.sign(), STRIDE * level.norm
    change = denoiser(x + signs * apart, level) - denoiser(x - signs * apart, level)
    return 1 - level.alpha * (change * signs).mean().item() / (2 * apart)


def _line(
    denoiser: Denoiser, images: Tensor, noise: Tensor, schedule: NoiseSchedule, linear: Statistics, at: float
) -> tuple[float, float]:
    """s and b: the line through (f, f') of least squares."""
    level = _level(schedule, at)
    y = images + noise * level.ve_sigma
    x0 = denoiser(y * level.alpha, level)
    values = []
    for step in (-STRIDE, STRIDE):
        there, moved = _level(schedule, at + step), y + (x0 - y) * step
        values.append(moved * (1 - linear.l(at + step)) - denoiser(moved * there.alpha, there))
    f, slope = (values[0] + values[1]) / 2, (values[1] - values[0]) / (2 * STRIDE)
    spread = f.var().item()
    flat = spread < LEAST * images.var().item()
    s = 0.0 if flat else ((f - f.mean()) * (slope - slope.mean())).mean().item() / spread
    return s, slope.mean().item() - s * f.mean().item()

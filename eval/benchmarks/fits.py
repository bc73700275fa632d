"""Curves through measured costs, with the least squares of relative errors; no part of a cost is negative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls


class Fit(NamedTuple):
    """``seconds = parts[0] + parts[1] n + parts[2] n^2 ...``"""

    parts: list[float]
    off: float
    """The largest relative error."""

    def __str__(self) -> str:
        powers = ("", " x {}", " x {}^2")
        return " + ".join(f"{part:.3g} s{power}" for part, power in zip(self.parts, powers, strict=False) if part)


def fit(n: Sequence[float], seconds: Sequence[float], degree: int = 1) -> Fit:
    """The polynomial of this degree."""
    places, found = np.asarray(n, float), np.asarray(seconds, float)
    scale = places.max()
    design = (places[:, None] / scale) ** np.arange(degree + 1) / found[:, None]
    parts, _ = nnls(design, np.ones(len(found)))
    off = np.abs(design @ parts - 1).max()
    return Fit([float(part / scale**power) for power, part in enumerate(parts)], float(off))


def exponent(n: Sequence[float], seconds: Sequence[float]) -> float:
    """The power of n with which the cost grows from the first of these places to the last."""
    return float(np.log(seconds[-1] / seconds[0]) / np.log(n[-1] / n[0]))

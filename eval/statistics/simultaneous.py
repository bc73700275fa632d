"""Intervals of all pairwise differences that hold together: with 95 % probability not one of them misses its truth.

The critical value is the quantile of max |Z_a - Z_b| / se_ab over all pairs, from joint draws of the errors, so that it
knows how the differences depend on each other: smaller than Bonferroni's, and right for whichever pair is looked at
afterwards. Each draw is divided by a sqrt(chi^2 / (N - 1)), which makes a single pair Student's t.
Hothorn, Bretz, Westfall 2008, doi:10.1002/bimj.200810425; Romano, Wolf 2005, doi:10.1198/016214504000000539.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from .joint import DRAWS, Joint, draws
from .pairs import Pairs, pairs

LEVEL = 0.95


class Differences(NamedTuple):
    """Pairs with simultaneous intervals and adjusted p-values, and the critical value behind them."""

    pairs: Pairs
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    critical: float

    @property
    def separated(self) -> np.ndarray:
        """Where the interval excludes 0."""
        return (self.low > 0) | (self.high < 0)


def simultaneous(joint: Joint, level: float = LEVEL, count: int = DRAWS) -> Differences:
    """Differences of all pairs of a joint, with intervals of this simultaneous level.

    A pair without spread (the same images) has the interval of its difference alone.
    """
    found, freedom = pairs(joint), len(joint.influences) - 1
    known = found.se > 0
    t = np.full(len(found.se), np.where(found.difference == 0, 0.0, np.inf))
    t[known] = np.abs(found.difference[known]) / found.se[known]
    one = 2 * special.stdtr(freedom, -t)
    if known.sum() > 1:
        most = np.sort(_maxima(joint, found, known, count))
        critical = float(np.quantile(most, level, method="higher"))
        exceeding = (len(most) - np.searchsorted(most, t) + 1) / (len(most) + 1)
        p = np.minimum(exceeding, known.sum() * one)  # Bonferroni where hardly a draw goes
    else:
        critical, p = float(special.stdtrit(freedom, (1 + level) / 2)), one
    half = critical * found.se
    return Differences(found, found.difference - half, found.difference + half, p.clip(0, 1), critical)


def _maxima(joint: Joint, found: Pairs, known: np.ndarray, count: int) -> np.ndarray:
    """max |t| over the pairs with a spread, of each draw."""
    z = np.ascontiguousarray((joint.errors if count == DRAWS else draws(joint.influences, count)).T)
    with np.errstate(divide="ignore"):
        weights = np.where(known, 1 / found.se, 0.0)
    most, start = np.zeros(count), 0
    for i in range(len(z) - 1):
        stop = start + len(z) - 1 - i
        np.maximum(most, (np.abs(z[i] - z[i + 1 :]) * weights[start:stop, None]).max(axis=0), out=most)
        start = stop
    freedom = len(joint.influences) - 1
    return most / np.sqrt(np.random.default_rng(1).chisquare(freedom, count) / freedom)

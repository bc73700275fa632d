"""Seconds, repeated until it is known how far they differ."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

LEAST, MOST = 3, 9
PRECISION, PATIENCE = 0.03, 3.0
"""Quartiles so near to the median, in proportion and for one repeat, are enough; seconds after which any are."""

Clock = Callable[[], float]


class Spread(NamedTuple):
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def known(times: list[float]) -> bool:
    """Whether more repeats would say little more."""
    median, low, high = spread(times)
    enough = len(times) >= LEAST and high - low < PRECISION * median * len(times) ** 0.5
    return enough or len(times) >= MOST or sum(times) > PATIENCE


def repeated(times: Iterable[float]) -> Spread:
    """Of times measured one by one, as many as it takes; the first, in which what is done once is done, does not count.

    Raises:
        ValueError: if there are none.
    """
    first, found = None, list[float]()
    for seconds in times:
        if first is None:
            first = seconds
            continue
        found.append(seconds)
        if known(found):
            break
    if first is None:
        raise ValueError("nothing was measured")
    return spread(found or [first])


def timed(work: Callable[[], object], device: str, clock: Clock = time.perf_counter) -> float:
    """Seconds until the device has come to the end of it."""
    began = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began

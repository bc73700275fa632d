"""How a scale changes: a curve g with g(0) = 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

SHAPES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda p: p,
    "cosine": lambda p: (1 - math.cos(math.pi * p)) / 2,
    "quarter_cosine": lambda p: 1 - math.cos(math.pi * p / 2),
    "half_cosine": lambda p: 1 - math.cos(p),
    "triangle": lambda p: 1 - abs(2 * p - 1),
    "trapezoid": lambda p: max(0.0, min(1.0, 10 * p, 10 * (1 - p))),
}
"""By name, for p from 0 to 1; all but the last three end at 1, which the last two reach on their way."""

"""From influences to a standard error: the one place where a Value is made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..protocols import Value


def estimate(value: float, influence: np.ndarray, card: dict[str, Any]) -> Value:
    """A Value with se = sd(influence) / sqrt(n), the influence centred.

    The influence of image i is the change of the value per unit of weight moved to it: value - truth is to first order
    the mean of the influences. For a mean it is x_i - mean. The difference of two values on the same images has the
    standard error sd(f_i - g_i) / sqrt(n). Hampel 1974, doi:10.1080/01621459.1974.10482962.
    """
    n = len(influence)
    centred = influence - influence.mean()
    se = float(centred.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Value(float(value), se, n, centred.astype(np.float32), {**card, "n": n})


def mean(values: np.ndarray, card: dict[str, Any]) -> Value:
    """The mean of one number per image."""
    return estimate(float(values.mean()), values, card)

"""How many images would show a difference, if it is as large as it looks now."""

from __future__ import annotations

import numpy as np
from scipy import special

POWER = 0.8


def images_needed(
    difference: np.ndarray, se: np.ndarray, images: int, critical: float, power: float = POWER
) -> np.ndarray:
    """Images per cell with which an interval of half-width ``critical`` standard errors excludes 0 with this power.

        N* = N ((c + z) se / |d|)^2,    z the normal quantile of the power

    With z = 0, the usual formula, half of all repetitions would still not show it. Inf where the difference is 0.
    """
    reach = (critical + special.ndtri(power)) * np.asarray(se, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(reach > 0, images * (reach / np.abs(difference)) ** 2, np.where(difference == 0, np.inf, 2.0))

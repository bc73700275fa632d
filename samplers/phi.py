"""The phi functions of exponential integrators.

    phi_k(z) = integral over tau in [0, 1] of e^((1 - tau) z) tau^(k-1) / (k-1)! = sum over n >= 0 of z^n / (n + k)!
    phi_1(z) = (e^z - 1) / z,    phi_(k+1)(z) = (phi_k(z) - 1 / k!) / z

Hochbruck, Ostermann 2010, doi:10.1017/S0962492910000048, section 2.1.
"""

from __future__ import annotations

import math

SERIES_BELOW = 2.0
"""The recurrence divides a difference by z at each k; below this |z| the series is the more accurate one."""

TERMS = 24
INVERSE_FACTORIALS = tuple(1 / math.factorial(n) for n in range(TERMS + 8))


def phi(k: int, z: float) -> float:
    """phi_k(z) for 1 <= k <= 8 and real z, to about 1e-14 relative for k <= 4."""
    if abs(z) < SERIES_BELOW:
        value = 0.0
        for coefficient in reversed(INVERSE_FACTORIALS[k : k + TERMS]):
            value = value * z + coefficient
        return value
    value = math.expm1(z) / z
    for i in range(1, k):
        value = (value - INVERSE_FACTORIALS[i]) / z
    return value


def moment(i: int, z: float) -> float:
    """The mean of tau^i in [0, 1] under the weight e^((1 - tau) z): i! phi_(i+1)(z) / phi_1(z), 1 / (i + 1) at 0."""
    return math.factorial(i) * phi(i + 1, z) / phi(1, z)

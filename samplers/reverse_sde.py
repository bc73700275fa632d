"""Integrals of the exponential integrators for x0 in log-SNR, and the noise of the reverse SDE that goes with them.

From s to t, h apart in log(alpha/sigma), the reverse SDE of arXiv:2211.01095, with its noise scaled by eta, has

    x_t = sigma_t/sigma_s e^(-eta h) x_s + alpha_t * integral_0^1 z e^(-z (1 - r)) x0(r) dr + u * noise
    z = (1 + eta) h,    u = sigma_t sqrt(1 - e^(-2 eta h))

A method is a polynomial for x0(r), with r = 0 at s and r = 1 at t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .level import Level


def reverse_std(s: Level, t: Level, eta: float) -> float:
    """u: the noise that the reverse SDE adds from s to t, sigma_t if s is pure noise, 0 to a clean image."""
    ratio = (s.alpha * t.sigma) / (t.alpha * s.sigma)  # e^(-h)
    return t.sigma * math.sqrt(1 - ratio ** (2 * eta)) if eta else 0.0


def moments(z: float, count: int) -> list[float]:
    """integral_0^1 z e^(-z (1 - r)) r^k dr for k < count: phi functions, accurate for small z too."""
    if z < 1:
        return [_series(z, k) for k in range(count)]
    values = [-math.expm1(-z)]
    for k in range(1, count):
        values.append(1 - k * values[-1] / z)
    return values


def adams_weights(nodes: Sequence[float], z: float) -> list[float]:
    """The weight of x0 at each node r: the integral of the polynomial through all of them."""
    integrals = moments(z, len(nodes))
    weights = []
    for i, node in enumerate(nodes):
        basis = [1.0]  # coefficients of the Lagrange polynomial, constant first
        for other in (*nodes[:i], *nodes[i + 1 :]):
            low, high = [-other * c for c in basis] + [0.0], [0.0, *basis]
            basis = [(a + b) / (node - other) for a, b in zip(low, high, strict=True)]
        weights.append(sum(c * integral for c, integral in zip(basis, integrals, strict=True)))
    return weights


def _series(z: float, k: int) -> float:
    """z * sum_j (-z)^j k! / (k + 1 + j)!"""
    term = total = z / (k + 1)
    for j in range(1, 20):
        term *= -z / (k + 1 + j)
        total += term
    return total

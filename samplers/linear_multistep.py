"""The core of multistep methods: weights of past predictions by exact integration of their interpolating polynomial.

A quantity (see ``form``) is known at earlier levels, at nodes tau <= 0 in units of the step, tau = 0 at its start. The
polynomial through them, integrated over [0, 1] under the form's weight, is a mean of the known values: the
Adams-Bashforth method (exponent 0) and its exponential kin (Nørsett 1969), on steps of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from .bridge import bridge
from .form import Form
from .phi import moment
from .sums import weighted
from .tableau import Tableau, planned, step

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .path import Path
    from .protocols import Run

Weights = Callable[[Sequence[float], float], Sequence[float]]
"""(nodes, z = exponent * step) to the weight of the value at each node."""


def interpolate(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """The weights w with sum_j w_j node_j^i = moments_i for i < len(nodes): quadrature by Lagrange's polynomials."""
    weights = []
    for j, node in enumerate(nodes):
        polynomial = [1.0]  # of Lagrange, coefficients from the constant up
        for other in (*nodes[:j], *nodes[j + 1 :]):
            low, high = [-other * c for c in polynomial] + [0.0], [0.0, *polynomial]
            polynomial = [(a + b) / (node - other) for a, b in zip(low, high, strict=True)]
        weights.append(sum(c * m for c, m in zip(polynomial, moments, strict=False)))
    return weights


def exact(nodes: Sequence[float], z: float) -> list[float]:
    """Weights that are exact for polynomials of degree below the number of nodes."""
    return interpolate(nodes, [moment(i, z) for i in range(len(nodes))])


def halved(nodes: Sequence[float], z: float) -> list[float]:
    """Weights of one or two nodes in which a slope counts 1/2, as in DPM-Solver++(2M)."""
    return interpolate(nodes, (1.0, 0.5)[: len(nodes)])


def half_curvature(nodes: Sequence[float], z: float) -> list[float]:
    """Exact weights but for the second difference, which has phi_3 where 2 phi_3 is right."""
    moments = [moment(i, z) * (0.5 if i == 2 else 1.0) for i in range(len(nodes))]
    return interpolate(nodes, moments)


def multistep(
    x: Tensor,
    path: Path,
    form: Form,
    points: int,
    start: Tableau | None = None,
    weights: Weights = exact,
    least: int | None = None,
) -> Run:
    """A run that uses the last ``points`` predictions, fewer at first.

    Args:
        start: the method of the first steps; None begins with Euler's step and one more point a step, which caps the
            order at 2.
        least: predictions with which the multistep formula takes over from ``start``; points - 1 if None.

    The history begins after a start at alpha = 0 where the variable is infinite; a step to sigma = 0 returns x0.
    """
    history: list[tuple[float, Tensor]] = []  # the newest first
    for s, t in path:
        x, x0 = yield x, s
        if not form.spans(s, t):
            x = bridge(x, x0, s, t)
            continue
        here = form.variable(s)
        history = [(here, form.value(x, x0, s)), *history[: points - 1]]
        if start and len(history) < (least or points - 1):
            x = yield from step(x, x0, planned(form, start, s, t))
            continue
        known = _weights(form, weights, s, t, tuple(there for there, _ in history))
        x = weighted([x, *(value for _, value in history)], known)
    return x


@lru_cache(maxsize=2**12)
def _weights(form: Form, weights: Weights, s: Level, t: Level, places: tuple[float, ...]) -> list[float]:
    """Of x and of the quantity at each place; kept, because the images of the next batch take the same steps."""
    here = form.variable(s)
    h = form.variable(t) - here
    keep, push = form.moves(s, t)
    return [keep, *(push * weight for weight in weights([(there - here) / h for there in places], form.exponent * h))]

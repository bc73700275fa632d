"""Single-step methods as data: Runge-Kutta tableaux, plain and exponential, and the one loop that runs them.

Stage i stands the share c_i of the way from s to t and is reached with the mean of the stages before it, under weights
that depend on z = exponent * step for exponential methods. The first stage's weight is what the others leave of 1, so
a tableau holds neither it nor the second stage, which follows the first alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .bridge import bridge
from .form import Form, mean

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .path import Path
    from .protocols import Run

Rows = Sequence[Sequence[float]]
"""Weights of stages 2, 3, ... in stage 3, in stage 4, ... and last in the step."""


class Tableau(NamedTuple):
    """The places of stages 2, 3, ... as shares of the step, and z to the weights."""

    shares: tuple[float, ...]
    rows: Callable[[float], Rows]


def classical(*rows: Sequence[float]) -> Tableau:
    """A Butcher tableau: rows a_2, a_3, ..., b, written out from the first column; c_i are the sums of its rows."""
    shares = tuple(sum(row) for row in rows[:-1])
    weights = [[a / sum(row) for a in row[1:]] for row in rows[1:]]
    return Tableau(shares, lambda z: weights)


def step(
    x: Tensor, x0: Tensor, s: Level, t: Level, form: Form, tableau: Tableau, levels: Sequence[Level] = ()
) -> Generator[tuple[Tensor, Level], tuple[Any, ...], Tensor]:
    """One step between finite levels, from the x0 predicted at s; yields its further stages, returns x at t.

    Args:
        levels: where stages 2, 3, ... stand; else on the straight line from s to t.
    """
    z = form.exponent * (form.variable(t) - form.variable(s))
    values = [form.value(x, x0, s)]
    rows: list[Sequence[float]] = [(), *tableau.rows(z)]
    levels = levels or [form.level(s, t, share) for share in tableau.shares]
    for level, row in zip(levels, rows[:-1], strict=True):
        stage, x0 = yield form.move(x, _mean(values, row), s, level), level
        values.append(form.value(stage, x0, level))
    return form.move(x, _mean(values, rows[-1]), s, t)


def single_step(x: Tensor, path: Path, form: Form, tableau: Tableau) -> Run:
    """A run of one method on every step; the one-evaluation step where an end is infinite or clean."""
    for s, t in path:
        x, x0 = yield x, s
        if form.spans(s, t):
            x = yield from step(x, x0, s, t, form, tableau)
        else:
            x = bridge(x, x0, s, t)
    return x


def _mean(values: Sequence[Tensor], row: Sequence[float]) -> Tensor:
    return mean(values, (1 - sum(row), *row))

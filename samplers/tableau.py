"""Single-step methods as data: Runge-Kutta tableaux, plain and exponential, and the one loop that runs them.

Stage i stands the share c_i of the way from s to t and is reached with the mean of the stages before it, under weights
that depend on z = exponent * step for exponential methods. The first stage's weight is what the others leave of 1, so
a tableau holds neither it nor the second stage, which follows the first alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
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
    known = [x, x0]
    *stages, (_, end) = _plan(form, tableau, s, t, tuple(levels))
    for level, weights in stages:
        stage, x0 = yield mean(known, weights), level
        known += [stage, x0]
    return mean(known, end)


@lru_cache(maxsize=2**12)
def _plan(
    form: Form, tableau: Tableau, s: Level, t: Level, given: tuple[Level, ...]
) -> list[tuple[Level, list[float]]]:
    """Stages 2, 3, ... and the end: their levels, and the weights of x and x0 of every stage before.

    It is kept, because the images of a batch and those of the next take the same steps.
    """
    z = form.exponent * (form.variable(t) - form.variable(s))
    rows: list[Sequence[float]] = [(), *tableau.rows(z)]
    levels = [*(given or [form.level(s, t, share) for share in tableau.shares]), t]
    parts, plan = [form.parts(s)], []
    for level, row in zip(levels, rows, strict=True):
        keep, push = form.moves(s, level)
        shares = (1 - sum(row), *row)
        weights = [push * share * part for share, pair in zip(shares, parts, strict=True) for part in pair]
        weights[0] += keep
        plan.append((level, weights))
        if len(parts) < len(levels):
            parts.append(form.parts(level))
    return plan


def single_step(x: Tensor, path: Path, form: Form, tableau: Tableau) -> Run:
    """A run of one method on every step; the one-evaluation step where an end is infinite or clean."""
    for s, t in path:
        x, x0 = yield x, s
        if form.spans(s, t):
            x = yield from step(x, x0, s, t, form, tableau)
        else:
            x = bridge(x, x0, s, t)
    return x

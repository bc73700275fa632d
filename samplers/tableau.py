"""Single-step methods as data: Runge-Kutta tableaux, plain and exponential, and the one loop that runs them.

Stage i stands the share c_i of the way from s to t and is reached with the mean of the stages before it, under weights
that depend on z = exponent * step for exponential methods. The first stage's weight is what the others leave of 1, so
a tableau holds neither it nor the second stage, which follows the first alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from .bridge import shares
from .form import Form
from .sums import weighted

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


EULER = classical((1.0,))


class Plan(NamedTuple):
    """One step in numbers: the levels of stages 2, 3, ... and the weights, in each and in the end, of what is known.

    Known are x and x0 of every stage before, in turns.
    """

    stages: Sequence[tuple[Level, Sequence[float]]]
    end: Sequence[float]


def single_step(x: Tensor, path: Path, form: Form, tableau: Tableau) -> Run:
    """A run of one method on every step; the one-evaluation step where an end is infinite or clean."""
    for s, plan in zip(path.levels, plans(form, tableau, path.levels), strict=False):
        x, x0 = yield x, s
        x = yield from step(x, x0, plan)
    return x


def step(x: Tensor, x0: Tensor, plan: Plan) -> Generator[tuple[Tensor, Level], tuple[Any, ...], Tensor]:
    """One step from the x0 predicted where it begins; yields its further stages, returns x at its end."""
    known = [x, x0]
    for level, weights in plan.stages:
        stage, x0 = yield weighted(known, weights), level
        known += [stage, x0]
    return weighted(known, plan.end)


@lru_cache(maxsize=2**8)
def plans(form: Form, tableau: Tableau, levels: tuple[Level, ...]) -> list[Plan]:
    """Of each step of a path. They are kept, because the images of a batch and those of the next take the same."""
    return [planned(form, tableau, s, t) for s, t in pairwise(levels)]


@lru_cache(maxsize=2**12)
def planned(form: Form, tableau: Tableau, s: Level, t: Level, levels: tuple[Level, ...] = ()) -> Plan:
    """One step, of one evaluation where an end is infinite or clean.

    Args:
        levels: where stages 2, 3, ... stand; else on the straight line from s to t.
    """
    if not form.spans(s, t):
        return Plan((), shares(s, t))
    z = form.exponent * (form.variable(t) - form.variable(s))
    rows: list[Sequence[float]] = [(), *tableau.rows(z)]
    levels = (*(levels or [form.level(s, t, share) for share in tableau.shares]), t)
    parts, weights = [form.parts(s)], []
    for level, row in zip(levels, rows, strict=True):
        keep, push = form.moves(s, level)
        means = (1 - sum(row), *row)
        weights.append([push * mean * part for mean, pair in zip(means, parts, strict=True) for part in pair])
        weights[-1][0] += keep
        if len(parts) < len(levels):
            parts.append(form.parts(level))
    return Plan(list(zip(levels[:-1], weights[:-1], strict=True)), weights[-1])

"""The measurements: error against model evaluations, order of convergence, and the start at alpha = 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ...samplers.conformance.accuracy import SLACK
from ...samplers.conformance.convergence import (
    SCALES,
    OneHot,
    Solve,
    distribution_error,
    jagged_path,
    pure_noise_path,
    slope,
    solution_error,
)
from ...samplers.level import PURE_NOISE, Level
from ...samplers.path import Path
from ...samplers.problems import BIMODAL, GAUSSIAN, Mixture
from ...samplers.protocols import Denoiser, Noise
from .methods import Method

STEPS = (5, 10, 20, 40, 80, 160, 320)
EQUAL_NFE = (20, 50, 100)
"""Evaluations at which methods of different cost are compared, between measured points in log-log."""

POINT = Mixture(means=(0.6,), stds=(1e-9,))
"""Data that are one point: all that one evaluation at alpha = 0, which only tells the mean, can be exact for."""

EXACT = 1e-12
NOT_LINEAR = "not linear in its noise, so that its moments are not known exactly"


def measure(
    methods: Iterable[Method], steps: Sequence[int] = STEPS, done: Callable[[Method], None] = lambda method: None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two frames: a row per method and process with its orders, and a row per method, process, path and step count."""
    orders: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for method in methods:
        for process in method.processes:
            identity = {"source": method.source, "name": method.name, "process": process}
            found, rows = _measure(method, process, steps)
            orders.append(identity | _declared(method) | found)
            errors += [identity | row for row in rows]
        done(method)
    return pd.DataFrame(orders, columns=ORDERS), pd.DataFrame(errors, columns=ERRORS)


ORDERS = [
    "source", "name", "process", "measured", "declared", "order", "evaluations", "nfe_per_step",
    *(f"error_at_{nfe}_nfe" for nfe in EQUAL_NFE), "zero_snr_exact", "zero_snr_first_step", "zero_snr_order",
    "counterpart", "note", "peer",
]  # fmt: skip
ERRORS = ["source", "name", "process", "path", "measured", "steps", "nfe", "error"]


def _declared(method: Method) -> dict[str, Any]:
    return {
        "measured": "distribution" if method.stochastic else "trajectory",
        "declared": method.declared,
        "evaluations": method.evaluations,
        "counterpart": method.counterpart,
        "note": method.note,
        "peer": method.peer,
    }


def _measure(method: Method, process: str, steps: Sequence[int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if method.solve is None:
        return {}, []
    try:
        if method.stochastic and not _is_linear(method.solve, jagged_path(process, 5)):
            return {"note": NOT_LINEAR}, []
        finite = [error_of(method, jagged_path(process, n)) for n in steps]
    except Exception as error:  # someone's plugin, or another program: its row says why and the others go on
        return {"note": f"{type(error).__name__}: {error}"}, []
    found = {
        "order": measured_order(method, steps, finite),
        "nfe_per_step": finite[-1][1] / steps[-1],
        **{f"error_at_{nfe}_nfe": error_at(nfe, finite) for nfe in EQUAL_NFE},
    }
    rows = _rows("finite", method, steps, finite)
    if process == "VE":  # where alpha is 1 throughout
        return found, rows
    from_noise = [_error_if_any(method, pure_noise_path(process, n)) for n in steps]
    return found | _zero_snr(method, process, steps, from_noise), rows + _rows("alpha = 0", method, steps, from_noise)


def _is_linear(solve: Solve, path: Path) -> bool:
    """Whether twice the noise moves the end twice as far, without which moments cannot be read from single runs."""
    ends = []
    for size in (0.0, 1.0, 2.0):
        draws = OneHot(rows=3)  # the first noise, in the last row
        noise = lambda s, t, size=size, draws=draws: size * draws(s, t)  # noqa: E731
        ends.append(solve(GAUSSIAN, torch.full((3, 1), 0.5, dtype=torch.float64), path, noise)[2].item())
    still, once, twice = ends
    return abs((twice - still) - 2 * (once - still)) < 1e-4 * (abs(once - still) + 1e-4)


def _zero_snr(
    method: Method, process: str, steps: Sequence[int], errors: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """Exact at zero terminal SNR: from alpha = 0 a step is exact for data of one point, and the path converges."""
    first, _ = _error_if_any(method, Path([PURE_NOISE, SCALES[process](2.0)]), POINT)
    order = measured_order(method, steps, errors)
    exact = first < EXACT and order >= 1 - 2 * SLACK
    return {"zero_snr_exact": exact, "zero_snr_first_step": 0.0 if first < EXACT else first, "zero_snr_order": order}


def _error_if_any(method: Method, path: Path, problem: Mixture | None = None) -> tuple[float, float]:
    try:
        return error_of(method, path, problem)
    except Exception:  # a program that cannot start at alpha = 0 may say so in any way
        return math.nan, 0.0


def error_of(method: Method, path: Path, problem: Mixture | None = None) -> tuple[float, float]:
    """Error of one run, in units of the data, and the model evaluations it took.

    Of the distribution's mean and deviation on Gaussian data for a method that draws noise, else of the trajectory on
    two modes.
    """
    assert method.solve
    counted = _Counted(method.solve)
    if method.stochastic:
        return distribution_error(counted, problem or GAUSSIAN, path), counted.evaluations
    return solution_error(counted, problem or BIMODAL, path), counted.evaluations


class _Counted:
    """A solver that remembers how often its last run asked the denoiser, a row of x."""

    def __init__(self, solve: Solve) -> None:
        self.solve, self.evaluations = solve, 0.0

    def __call__(self, denoiser: Denoiser, x: Tensor, path: Path, noise: Noise) -> Tensor:
        self.evaluations, images = 0.0, len(x)

        def counting(x: Tensor, level: Level | Sequence[Level]) -> Tensor:
            self.evaluations += len(x) / images  # a method with error control has a run for each image
            return denoiser(x, level)

        with torch.no_grad():
            return self.solve(counting, x, path, noise)


def measured_order(method: Method, steps: Sequence[int], errors: Sequence[tuple[float, float]]) -> float:
    """The slope of log error over the three finest step counts whose errors are no rounding.

    Over evaluations for a method that chooses their number itself; nan if a run ends in none or does not converge to a
    finite value, inf if all errors are rounding.
    """
    if not all(math.isfinite(error) for error, _ in errors):
        return math.nan
    chooses = method.evaluations is None and len({nfe / n for n, (_, nfe) in zip(steps, errors, strict=True)}) > 1
    counts = [nfe for _, nfe in errors] if chooses else [float(n) for n in steps]
    points = [(n, error) for n, (error, _) in zip(counts, errors, strict=True) if error > method.floor][-3:]
    if len({n for n, _ in points}) < 2:
        return math.inf if not points else math.nan
    return slope([n for n, _ in points], [error for _, error in points], floor=0.0)


def error_at(nfe: int, errors: Sequence[tuple[float, float]]) -> float:
    """The error at that number of evaluations, on the line between measured points in log-log; nan outside of them."""
    points = sorted((n, error) for error, n in errors)
    for (low, above), (high, below) in pairwise(points):
        if low <= nfe <= high and low < high and above > 0 and below > 0:
            share = math.log(nfe / low) / math.log(high / low)
            return above ** (1 - share) * below**share
    return math.nan


def _rows(
    path: str, method: Method, steps: Sequence[int], errors: Sequence[tuple[float, float]]
) -> list[dict[str, Any]]:
    measured = "distribution" if method.stochastic else "trajectory"
    return [
        {"path": path, "measured": measured, "steps": n, "nfe": round(nfe, 2), "error": error}
        for n, (error, nfe) in zip(steps, errors, strict=True)
    ]

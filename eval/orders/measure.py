"""The measurements: error against model evaluations, order of convergence, and the start at alpha = 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from ...samplers.conformance.accuracy import SLACK
from ...samplers.conformance.convergence import SCALES, jagged_path, pure_noise_path
from ...samplers.level import PURE_NOISE
from ...samplers.path import Path
from ...samplers.problems import Mixture
from .error import error_at, error_if_any, error_of, is_linear, measured_order
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
        if method.stochastic and not is_linear(method.solve, jagged_path(process, 5)):
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
    from_noise = [error_if_any(method, pure_noise_path(process, n)) for n in steps]
    return found | _zero_snr(method, process, steps, from_noise), rows + _rows("alpha = 0", method, steps, from_noise)


def _zero_snr(
    method: Method, process: str, steps: Sequence[int], errors: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """Exact at zero terminal SNR: from alpha = 0 a step is exact for data of one point, and the path converges."""
    first, _ = error_if_any(method, Path([PURE_NOISE, SCALES[process](2.0)]), POINT)
    order = measured_order(method, steps, errors)
    exact = first < EXACT and order >= 1 - 2 * SLACK
    return {"zero_snr_exact": exact, "zero_snr_first_step": 0.0 if first < EXACT else first, "zero_snr_order": order}


def _rows(
    path: str, method: Method, steps: Sequence[int], errors: Sequence[tuple[float, float]]
) -> list[dict[str, Any]]:
    measured = "distribution" if method.stochastic else "trajectory"
    return [
        {"path": path, "measured": measured, "steps": n, "nfe": round(nfe, 2), "error": error}
        for n, (error, nfe) in zip(steps, errors, strict=True)
    ]

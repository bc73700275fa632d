"""The page of measured orders, as Markdown that reads well on GitHub."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from .numbers import DASH

HEADING = (
    "method", "evaluations a step", "declared order", "measured order", "error at 20", "at 50", "at 100 evaluations",
    "from alpha = 0",
)  # fmt: skip
NFE = ("error_at_20_nfe", "error_at_50_nfe", "error_at_100_nfe")

READING = """\
Problems have a closed form: each pixel is drawn from two overlapping Gaussians (methods without noise; the error is the
root mean square distance from the exact probability-flow solution), or from one Gaussian (methods with noise; the error
is the distance of mean and standard deviation from the exact ones, computed without Monte Carlo: the "weak" order).
Errors are in units of the data. Paths go from sigma/alpha = 5 to 0.1 in steps of log(sigma/alpha) that alternate 2 : 3,
so that coefficients that are only right for equal steps lose their order. The order is the slope of log error over log
steps through the three finest of 5, 10, 20, 40, 80, 160, 320 steps whose errors are no rounding. Evaluations are
counted; errors at 20, 50 and 100 lie on the line between measured points in log-log. An order above the declared one is
an error of higher order that hides the leading one at these step counts. Samplers for distilled networks replace noise
in every step and do not converge with an exact denoiser, nor are they meant to.

**From alpha = 0** (zero terminal SNR, flow): "exact" means that a step from alpha = 0 to any level reproduces the
closed form to 1e-12 where one evaluation can know it, on data of a single point, and that a whole path from alpha = 0
converges on the problems above with order 0.7 at least; otherwise the error of that first step, or why there is none.
"""

PEERS = """\
Peers walk the same paths with the same exact denoiser and the same noise. k-diffusion runs in float64 on variance
exploding levels, which have no alpha = 0. diffusers' schedulers get a training table whose levels are the path's and
build their own tables from it; those that compute in float32 have orders from errors above 1e-5. Their declared order
is what name or paper say. "No result" from alpha = 0: their sigma is infinite there; "4e-04 off": alpha = 2^-12 stands
in its place. ComfyUI's samplers run from the checkout that COMFYUI_DIR names, in an environment with its requirements,
on its own model_sampling: variance exploding levels, and a flow, where those that add noise may be wrong.
"""


def orders_page(orders: pd.DataFrame, about: Mapping[str, str], figures: Sequence[str] = ()) -> str:
    """The page: how to read it, the tables of samplers and of peers beside ours, how it was made."""
    ours = orders[~orders["peer"]]
    pairs = _beside(orders)
    made = ["| " + " | ".join(row) + " |" for row in (("", ""), ("---", "---"), *about.items())]
    parts = ["# Measured orders of convergence", "", READING]
    if "errors" in figures:
        parts += ["![Error against evaluations, a panel per family](errors.png)", ""]
    parts += ["## Samplers", "", _table(rows_by_method(ours))]
    if len(pairs):
        parts += ["## Peers beside ours", "", PEERS]
        parts += ["![Error against evaluations, ours and the peers'](peers.png)", ""] if "peers" in figures else []
        parts += [_below(pairs), _table(rows_by_method(pairs, with_source=True))]
    parts += ["## How it was made", "", *made, "", "Numbers: [orders.csv](orders.csv), [error_nfe.csv](error_nfe.csv)."]
    return "\n".join(parts) + "\n"


def rows_by_method(orders: pd.DataFrame, *, with_source: bool = False) -> list[tuple[str, ...]]:
    """The heading, then a row per method; processes with the same numbers are one."""
    rows: list[tuple[str, ...]] = [(("program", *HEADING) if with_source else HEADING)]
    for _, group in orders.groupby(["source", "name"], sort=False):
        first = group.iloc[-1]
        cells = (
            _mark(first), _whole(first["evaluations"], "chosen by it"), _whole(first["declared"], DASH),
            _order(group), *(_error(first[column]) for column in NFE), _from_noise(first),
        )  # fmt: skip
        rows.append((first["source"], *cells) if with_source else cells)
    return rows


def _beside(orders: pd.DataFrame) -> pd.DataFrame:
    """Ours before the peers that are the same method; then peers without one of ours, and what is not installed."""
    ours, peers = orders[~orders["peer"]], orders[orders["peer"]]
    parts = []
    for name in peers["counterpart"].drop_duplicates():
        parts += [ours[ours["name"] == name], peers[peers["counterpart"] == name]]
    return pd.concat(parts) if parts else peers


def _below(pairs: pd.DataFrame) -> str:
    """Which peers miss the order they declare by more than a quarter."""
    theirs = pairs[pairs["peer"] & (pairs["order"] < pairs["declared"] - 0.25)]
    missed = [f"{row['name']} {row['order']:.2f} instead of {row['declared']:.0f}" for _, row in theirs.iterrows()]
    return f"Below their declared order: {'; '.join(missed)}.\n" if missed else ""


def _mark(row: pd.Series) -> str:
    return f"{row['name']} ({row['note']})" if row["note"] else row["name"]


def _order(group: pd.DataFrame) -> str:
    kind = "weak " if group["measured"].iloc[0] == "distribution" else ""
    texts = {process: _number(order) for process, order in zip(group["process"], group["order"], strict=True)}
    if len(set(texts.values())) == 1:
        text = next(iter(texts.values()))
        return text if text == DASH else kind + text
    return kind + ", ".join(f"{text} {process}" for process, text in texts.items())


def _number(order: float) -> str:
    if math.isnan(order):
        return DASH
    return "exact" if math.isinf(order) else f"{order:.2f}"


def _whole(value: float, missing: str) -> str:
    return missing if pd.isna(value) else str(int(value))


def _error(value: float) -> str:
    return DASH if pd.isna(value) else f"{value:.1e}"


def _from_noise(row: pd.Series) -> str:
    if row["process"] == "VE":
        return "no such level"
    if pd.isna(row["zero_snr_first_step"]):
        return DASH if pd.isna(row["order"]) else "no result"
    if row["zero_snr_exact"]:
        return f"exact, order {_number(row['zero_snr_order'])}"
    if row["zero_snr_first_step"]:
        return f"{row['zero_snr_first_step']:.0e} off, order {_number(row['zero_snr_order'])}"
    return f"does not converge, order {_number(row['zero_snr_order'])}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    heading, *body = rows
    rule = ["---"] * len(heading)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heading, rule, *body)) + "\n"

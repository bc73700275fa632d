"""Which cells the data can tell apart, by their intervals alone.

Two cells differ measurably when their 95 % intervals do not overlap. That is strict for two independent cells (about
p < 0.006) and stricter for cells that share prompts and seeds, which leaves room for having looked at many cells.
An overlap therefore means "not shown to differ", never "equal".

Cells are compared only within a group: the same model, number of images and prompts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from .results import direction, measured

GROUP = ["model", "images", "prompts"]


class Best(NamedTuple):
    """The best of some cells: rows of the frame, and those the data cannot tell from the first."""

    row: pd.Series
    ties: pd.DataFrame
    """The other cells whose interval overlaps, best first."""

    @property
    def clear(self) -> bool:
        return self.ties.empty


def with_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that can be judged: a value and both ends of its interval."""
    return rows[rows["low"].notna() & rows["high"].notna() & rows["value"].notna()]


def measurably_better(a: pd.Series, b: pd.Series, higher: bool) -> bool:
    """Whether a's interval lies wholly on the better side of b's."""
    return bool(a["low"] > b["high"] if higher else a["high"] < b["low"])


def best_of(rows: pd.DataFrame, higher: bool) -> Best | None:
    """The best value among rows of one metric, with every row whose interval overlaps it; None without intervals."""
    rows = with_intervals(rows)
    if rows.empty:
        return None
    rows = rows.assign(_cost=rows["nfe"].fillna(math.inf))
    rows = rows.sort_values(["value", "_cost"], ascending=[not higher, True], kind="stable").drop(columns="_cost")
    best, rest = rows.iloc[0], rows.iloc[1:]
    overlap = (rest["low"] <= best["high"]) & (rest["high"] >= best["low"])
    return Best(best, rest[overlap])


def unbeaten(rows: pd.DataFrame, higher: bool) -> pd.DataFrame:
    """The rows that no other row is measurably better than."""
    rows = with_intervals(rows)
    return rows[rows["high"] >= rows["low"].max()] if higher else rows[rows["low"] <= rows["high"].min()]


def marks(results: pd.DataFrame, metric: str) -> set[str]:
    """Cells whose interval overlaps that of the best cell of their group; empty for a description."""
    higher = direction(results, metric)
    marked: set[str] = set()
    if higher is None:
        return marked
    for _, rows in measured(results, metric).groupby(GROUP, sort=False, dropna=False):
        if found := best_of(rows, higher):
            marked |= {found.row["cell"], *found.ties["cell"]}
    return marked


def images_needed(a: pd.Series, b: pd.Series) -> int | None:
    """Images per cell at which the intervals would come apart if the difference is real; None if there is none.

    Half-widths shrink as 1 / sqrt(N): N * ((half_a + half_b) / difference)^2.
    """
    difference, halves = abs(a["value"] - b["value"]), (a["high"] - a["low"] + b["high"] - b["low"]) / 2
    if pd.isna(a["images"]) or not (difference > 0 and math.isfinite(halves)):
        return None
    needed = float(a["images"]) * (halves / difference) ** 2
    if not 1 <= needed < 1e9:
        return None
    unit = 10 ** max(math.floor(math.log10(needed)) - 1, 0)
    return math.ceil(needed / unit) * unit

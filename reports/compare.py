"""Which cells the data can tell apart.

Two cells of a sweep share prompts, seeds and noise, so they are compared image by image: they differ measurably when
the interval of their paired difference excludes 0. These intervals hold for all pairs of a metric together, so that any
pair may be picked afterwards. Where no comparison is known, two cells differ measurably when their own intervals do not
overlap, which is stricter. "The data cannot tell" therefore means "not shown to differ", never "equal".

Cells are compared only within a group: the same model, number of images and prompts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from .comparisons import Judge
from .results import direction, measured

GROUP = ["model", "images", "prompts"]


class Best(NamedTuple):
    """The best of some cells: rows of the frame, and those the data cannot tell from the first."""

    row: pd.Series
    ties: pd.DataFrame
    """The other cells that it is not measurably better than, best first."""

    @property
    def clear(self) -> bool:
        return self.ties.empty


def with_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that can be judged: a value and both ends of its interval."""
    return rows[rows["low"].notna() & rows["high"].notna() & rows["value"].notna()]


def best_of(rows: pd.DataFrame, higher: bool, judge: Judge) -> Best | None:
    """The best value among rows that none is measurably better than, with the rows it is not better than."""
    rows = with_intervals(rows)
    if rows.empty:
        return None
    rows = rows.assign(_cost=rows["nfe"].fillna(math.inf))
    rows = rows.sort_values(["value", "_cost"], ascending=[not higher, True], kind="stable").drop(columns="_cost")
    better = _better(rows, higher, judge)
    best = int((~better.any(axis=0)).argmax())
    wins = better[best]
    wins[best] = True
    return Best(rows.iloc[best], rows[~wins])


def unbeaten(rows: pd.DataFrame, higher: bool, judge: Judge) -> pd.DataFrame:
    """The rows that no other row is measurably better than."""
    rows = with_intervals(rows)
    return rows[~np.asarray(_better(rows, higher, judge).any(axis=0))]


def _better(rows: pd.DataFrame, higher: bool, judge: Judge) -> np.ndarray:
    """[i, j]: row i is measurably better than row j."""
    above = judge.above(rows)
    return above if higher else above.T


def marks(results: pd.DataFrame, metric: str, judge: Judge) -> set[str]:
    """Cells that the data cannot tell from the best of their group; empty for a description."""
    higher = direction(results, metric)
    marked: set[str] = set()
    if higher is None:
        return marked
    for _, rows in measured(results, metric).groupby(GROUP, sort=False, dropna=False):
        if found := best_of(rows, higher, judge):
            marked |= {found.row["cell"], *found.ties["cell"]}
    return marked


def images_needed(a: pd.Series, b: pd.Series, judge: Judge) -> int | None:
    """Images per cell that would show the difference if it is real; None if there is none or it would take 10^9.

    Without a comparison, those at which the intervals would come apart: half-widths shrink as 1 / sqrt(N).
    """
    if pair := judge.pair(a, b):
        return rounded(pair.needed)
    difference, halves = abs(a["value"] - b["value"]), (a["high"] - a["low"] + b["high"] - b["low"]) / 2
    if pd.isna(a["images"]) or not (difference > 0 and math.isfinite(halves)):
        return None
    return rounded(float(a["images"]) * (halves / difference) ** 2)


def rounded(needed: float) -> int | None:
    """Up to two digits."""
    if not 1 <= needed < 1e9:
        return None
    unit = 10 ** max(math.floor(math.log10(needed)) - 1, 0)
    return math.ceil(needed / unit) * unit

"""The comparisons frame: one row per metric and pair of cells that share their images, next to the results frame.

``difference`` is the value of cell ``a`` minus that of ``b``, over their common ``images``; ``low`` and ``high`` hold
for all pairs of the metric together at this ``level``. Results without comparisons are judged by their intervals alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

TEXT = ("metric", "a", "b")
REAL = ("difference", "se", "low", "high", "p", "level", "gain", "images_needed")
COLUMNS = ("metric", "a", "b", "images", *REAL)
"""Every column of the frame, in the order in which files hold them.

p is adjusted for the number of pairs; gain is how many times more images unpaired cells would need; images_needed would
show the difference as it looks now in four of five repetitions, and is inf where it is 0.
"""


def conform_comparisons(comparisons: pd.DataFrame) -> pd.DataFrame:
    """A checked copy with the contract's columns, in its order and with its types.

    Raises:
        ValueError: a column is missing, or a pair is there twice.
    """
    missing = [column for column in COLUMNS if column not in comparisons.columns]
    if missing:
        raise ValueError(f"the comparisons lack the columns {', '.join(missing)}; there must be {', '.join(COLUMNS)}")
    frame = comparisons[list(COLUMNS)].reset_index(drop=True)
    types = {**dict.fromkeys(TEXT, object), "images": "int64", **dict.fromkeys(REAL, "float64")}
    frame = frame.astype(types)
    twice = frame[frame.duplicated(["metric", "a", "b"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(f"{row['metric']} of {row['a']} and {row['b']} is compared twice; drop one of the rows")
    return frame


class Pair(NamedTuple):
    """The comparison of two cells in one metric, seen from the first."""

    difference: float
    low: float
    high: float
    images: int
    needed: float


class Judge:
    """Tells cells apart by their paired comparisons; where there are none, by intervals that do not overlap."""

    def __init__(self, comparisons: pd.DataFrame | None = None) -> None:
        frame = pd.DataFrame(columns=list(COLUMNS)) if comparisons is None else conform_comparisons(comparisons)
        self._of_metric = {metric: _Matrix(rows) for metric, rows in frame.groupby("metric", sort=False)}

    def above(self, rows: pd.DataFrame) -> np.ndarray:
        """[i, j]: the value of row i is measurably higher than that of row j; rows of one metric."""
        low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
        result = low[:, None] > high[None]
        matrix = self._of_metric.get(rows["metric"].iloc[0]) if len(rows) else None
        if matrix is not None:
            known, above = matrix.of(list(rows["cell"]))
            result = np.where(known, above, result)
        return result

    def better(self, a: pd.Series, b: pd.Series, higher: bool) -> bool:
        """Whether a is measurably better than b."""
        above = self.above(pd.DataFrame([a, b]))
        return bool(above[0, 1] if higher else above[1, 0])

    def pair(self, a: pd.Series, b: pd.Series) -> Pair | None:
        """The comparison of two rows of one metric, if there is one."""
        matrix = self._of_metric.get(a["metric"])
        return matrix.pair(a["cell"], b["cell"]) if matrix is not None else None

    def paired(self, rows: pd.DataFrame) -> bool:
        """Whether all pairs of these rows of one metric have been compared."""
        matrix = self._of_metric.get(rows["metric"].iloc[0]) if len(rows) else None
        if matrix is None:
            return False
        known, _ = matrix.of(list(rows["cell"]))
        return bool((known | np.eye(len(rows), dtype=bool)).all())


class _Matrix:
    """The pairs of one metric, looked up by cell."""

    def __init__(self, rows: pd.DataFrame) -> None:
        cells = dict.fromkeys([*rows["a"], *rows["b"]])
        self.rows, self.index = rows.reset_index(drop=True), {cell: i for i, cell in enumerate(cells)}
        self.row_of = np.full((len(cells) + 1,) * 2, -1)  # the last place is for cells that are not there
        a, b = (rows[column].map(self.index).to_numpy(int) for column in "ab")
        self.row_of[a, b] = np.arange(len(rows))

    def of(self, cells: list[str]) -> tuple[np.ndarray, np.ndarray]:
        places = [self.index.get(cell, -1) for cell in cells]
        grid = np.ix_(places, places)
        forward, backward = self.row_of[grid], self.row_of.T[grid]
        low, high = self.rows["low"].to_numpy(), self.rows["high"].to_numpy()
        above = np.where(forward >= 0, low[forward] > 0, np.where(backward >= 0, high[backward] < 0, False))
        return (forward >= 0) | (backward >= 0), above

    def pair(self, a: str, b: str) -> Pair | None:
        i, j = self.index.get(a, -1), self.index.get(b, -1)
        for place, sign in ((self.row_of[i, j], 1), (self.row_of[j, i], -1)):
            if place >= 0:
                row = self.rows.iloc[place]
                low, high = sorted((sign * row["low"], sign * row["high"]))
                return Pair(sign * row["difference"], low, high, int(row["images"]), row["images_needed"])
        return None

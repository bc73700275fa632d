"""The results frame: one row per cell and metric, and everything the reports need to know about its columns.

A cell that failed or was refused has a single row whose metric is missing and whose ``reason`` says why.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

TEXT = (
    "cell", "status", "reason", "model", "sampler", "schedule", "spacing", "guidance", "method", "prompts",
    "device", "dtype", "sigmabench", "torch", "diffusers", "git", "card",
)  # fmt: skip
WHOLE = ("steps", "images", "seed")
REAL = ("scale", "nfe", "value", "se", "low", "high", "seconds")

COLUMNS = (
    "cell", "status", "reason", "model", "sampler", "schedule", "spacing", "steps", "guidance", "method", "scale",
    "nfe", "images", "seed", "prompts", "metric", "value", "se", "low", "high", "higher_is_better", "seconds",
    "device", "dtype", "sigmabench", "torch", "diffusers", "git", "card",
)  # fmt: skip
"""Every column of the frame, in the order in which files hold them."""

STANDING = ("seconds_se", "rank_low", "rank_high", "p_best", "p_order", "p_front_nfe", "p_front_seconds")
"""Columns that may follow: the error of the seconds, and where the comparisons leave a cell among those of its group.

Ranks are 1 for the best; p_best is the probability to be it, p_order that the ranking holds down to this cell,
p_front_* that no cell of at most this cost is better.
"""

RUN = "run"
"""A column that may follow, of text: the run a cell is from, where a frame holds several."""

GIVEN = "given"
"""In the place of a sampler: images that were there already, of which neither steps nor guidance nor cost are known."""

STATUSES = ("ok", "failed", "refused")
SETTINGS = ("model", "sampler", "schedule", "spacing", "steps", "guidance")
"""What a reader would call the settings of a cell."""

DIRECTIONS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def conform(results: pd.DataFrame) -> pd.DataFrame:
    """A checked copy with the contract's columns, in its order and with its types, further columns after them.

    Text is never missing except ``metric``; whole numbers are exact; ``higher_is_better`` is True, False or None.

    Raises:
        ValueError: a column is missing, a status is unknown, or a cell holds a metric twice.
    """
    missing = [column for column in COLUMNS if column not in results.columns]
    if missing:
        raise ValueError(f"the results lack the columns {', '.join(missing)}; a results frame has {', '.join(COLUMNS)}")
    frame = results[[*COLUMNS, *(column for column in results.columns if column not in COLUMNS)]].reset_index(drop=True)
    for column in (*TEXT, *((RUN,) if RUN in frame else ())):
        frame[column] = _text(frame[column])
    frame["metric"] = _text(frame["metric"]).replace("", None).astype(object)
    frame["metric"] = frame["metric"].where(frame["metric"].notna(), None)
    for column in WHOLE:
        frame[column] = _whole(frame[column])
    for column in (*REAL, *(column for column in STANDING if column in frame)):
        frame[column] = _real(frame[column])
    frame["higher_is_better"] = pd.Series(
        [DIRECTIONS.get(str(value).lower()) for value in frame["higher_is_better"]], index=frame.index, dtype=object
    )
    strange = sorted(set(frame["status"]) - set(STATUSES))
    if strange:
        raise ValueError(f"unknown status {', '.join(map(repr, strange))}; a cell is one of {', '.join(STATUSES)}")
    twice = frame.duplicated(["cell", "metric"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise ValueError(f"cell {row['cell']} holds the metric {row['metric']} twice; merge or drop one of the rows")
    return frame


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").map(str).astype(object)


def _real(column: pd.Series) -> pd.Series:
    """Floats, text read to the last bit, which pandas' own parser is not held to in all versions."""
    return column.map(lambda value: float("nan") if pd.isna(value) or value == "" else float(value)).astype("float64")


def _whole(column: pd.Series) -> pd.Series:
    """Exact integers: int64, uint64 when one does not fit (a seed may), nullable when one is missing."""
    values = [None if pd.isna(value) or value == "" else int(value) for value in column]
    kind: Any = "UInt64" if any(value is not None and value >= 2**63 for value in values) else "Int64"
    return pd.Series(values, index=column.index, dtype=kind if None in values else kind.lower())


def metrics(results: pd.DataFrame) -> list[str]:
    """The metrics of the frame, in order of first appearance."""
    return list(dict.fromkeys(results["metric"].dropna()))


def cells(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, with its settings and without its metrics, in order of first appearance."""
    drop = ["metric", "value", "se", "low", "high", "higher_is_better", "card", *STANDING]
    return results.drop_duplicates("cell").drop(columns=drop, errors="ignore").reset_index(drop=True)


def measured(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of one metric with a finite number, from cells that came out well."""
    finite = results["value"].abs() < float("inf")
    return results[(results["status"] == "ok") & (results["metric"] == metric) & finite]


def direction(results: pd.DataFrame, metric: str) -> bool | None:
    """True when more is better, False when less is, None for a description or when rows contradict each other."""
    found = {value for value in results.loc[results["metric"] == metric, "higher_is_better"] if value is not None}
    return bool(found.pop()) if len(found) == 1 else None

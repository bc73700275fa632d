"""The table of all numbers, as the page's template wants it: exact values beside rounded ones."""

from __future__ import annotations

import base64
import math
from typing import Any

import pandas as pd

from .comparisons import Judge
from .lines import guidance_text
from .metric_words import better, short_name
from .numbers import interval, number
from .results import metrics
from .table import constant, text_of, varying, wide


def numbers_table(frame: pd.DataFrame, judge: Judge) -> dict[str, Any]:
    """Columns, rows and what is the same in every row."""
    table, names = wide(frame, judge), metrics(frame)
    columns = varying(table)
    rows = []
    for _, row in table.iterrows():
        choices = [(guidance_text(row) if c == "guidance" else text_of(row[c]), _exact(row[c])) for c in columns]
        rows.append({"cell": row["cell"], "choices": choices, "values": [_value(row, metric) for metric in names]})
    heads = [{"name": short_name(m, names), "full": m, "better": better(frame, m)} for m in names]
    named = [(c, not pd.api.types.is_object_dtype(table[c])) for c in columns]
    return {"columns": named, "metrics": heads, "rows": rows, "same": constant(table)}


def csv_uri(frame: pd.DataFrame, judge: Judge) -> str:
    """The wide table as a data URI, so that the numbers travel with the page."""
    text = wide(frame, judge).to_csv(index=False, lineterminator="\n")
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def _value(row: pd.Series, metric: str) -> dict[str, Any]:
    value, low, high = row[metric], row[f"{metric} low"], row[f"{metric} high"]
    return {
        "text": number(value, low, high), "interval": interval(value, low, high), "value": _exact(value),
        "low": _exact(low), "high": _exact(high), "best": bool(row[f"{metric} best"]),
    }  # fmt: skip


def _exact(value: object) -> str:
    """A number in full, so that the page can be read back; text has none."""
    return "" if isinstance(value, str) else repr(math.nan if pd.isna(value) else float(value))  # type: ignore

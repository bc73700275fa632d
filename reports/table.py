"""The wide table: a row per cell, a column per metric with its interval; marks for what is not shown to be worse."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .compare import marks
from .comparisons import Judge
from .numbers import short, with_interval
from .results import cells, measured, metrics

CHOICES = ("model", "sampler", "schedule", "spacing", "steps", "guidance", "nfe", "images", "seconds")


def wide(results: pd.DataFrame, judge: Judge | None = None) -> pd.DataFrame:
    """One row per cell that came out well: its settings, then per metric M the columns M, "M low", "M high", "M best".

    "M best" is True when the data cannot tell it from the best cell with the same model, images and prompts.
    """
    table = cells(results[results["status"] == "ok"])
    for metric in metrics(results):
        rows = measured(results, metric).set_index("cell")
        table[metric] = table["cell"].map(rows["value"])
        table[f"{metric} low"] = table["cell"].map(rows["low"])
        table[f"{metric} high"] = table["cell"].map(rows["high"])
        table[f"{metric} best"] = table["cell"].isin(marks(results, metric, judge or Judge()))
    return table


def constant(table: pd.DataFrame, columns: Sequence[str] = CHOICES) -> dict[str, str]:
    """The choices that are the same in every row, as text; empty ones are left out."""
    same = [c for c in columns if len(table) > 1 and table[c].nunique(dropna=False) == 1]
    return {c: text_of(table[c].iloc[0]) for c in same if text_of(table[c].iloc[0])}


def varying(table: pd.DataFrame, columns: Sequence[str] = CHOICES) -> list[str]:
    """The choices that tell the rows apart, and always the sampler."""
    return [c for c in columns if c == "sampler" or len(table) < 2 or table[c].nunique(dropna=False) > 1]


def text_of(value: object) -> str:
    """A choice as text."""
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else short(float(value))  # type: ignore[arg-type, call-overload]


def markdown(results: pd.DataFrame, chosen: Sequence[str] | None = None, judge: Judge | None = None) -> str:
    """A GitHub table of the varying choices and the metrics; bold marks what the data cannot tell from the best."""
    table, chosen = wide(results, judge), metrics(results) if chosen is None else chosen
    columns = varying(table)
    lines = [_row([*columns, *chosen]), _row(["---"] * len(columns) + ["---:"] * len(chosen))]
    for _, row in table.iterrows():
        values = [with_interval(row[m], row[f"{m} low"], row[f"{m} high"]) for m in chosen]
        bold = [f"**{text}**" if row[f"{m} best"] else text for m, text in zip(chosen, values, strict=True)]
        lines.append(_row([_plain(text_of(row[c])) for c in columns] + bold))
    if same := constant(table):
        lines += ["", "The same in every row: " + ", ".join(f"{k} {_plain(v)}" for k, v in same.items()) + "."]
    return "\n".join(lines) + "\n"


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _plain(text: str) -> str:
    """Text that Markdown leaves alone: no table bars, no line breaks, no tags."""
    flat = " ".join(text.split())
    for sign in "\\|`*<[":
        flat = flat.replace(sign, "\\" + sign)
    return flat

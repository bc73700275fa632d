"""The wide table: a row per cell, a column per metric with its interval; marks for what is not shown to be worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from .compare import marks
from .comparisons import Judge
from .numbers import interval, number, short
from .results import RUN, cells, measured, metrics

BOLD = "Bold: the data cannot tell it from the best"
PAIRED = ", by intervals of paired differences that hold for all pairs together, at 95 %"
CHOICES = (RUN, "model", "sampler", "schedule", "spacing", "steps", "guidance", "nfe", "images", "seconds")


def wide(results: pd.DataFrame, judge: Judge | None = None, chosen: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per cell that came out well: its settings, then per metric M the columns M, "M low", "M high", "M best".

    "M best" is True when the data cannot tell it from the best cell with the same model, images and prompts.

    Raises:
        ValueError: for a chosen metric (by default all are) that the results do not have.
    """
    known = metrics(results)
    if strange := [metric for metric in chosen or () if metric not in known]:
        raise ValueError(f"no metric {strange[0]!r} in these results; there are {', '.join(known)}")
    table = cells(results[results["status"] == "ok"])
    for metric in known if chosen is None else chosen:
        rows = measured(results, metric).set_index("cell")
        table[metric] = table["cell"].map(rows["value"])
        table[f"{metric} low"] = table["cell"].map(rows["low"])
        table[f"{metric} high"] = table["cell"].map(rows["high"])
        table[f"{metric} best"] = table["cell"].isin(marks(results, metric, judge or Judge()))
    return table


def constant(table: pd.DataFrame, columns: Sequence[str] = CHOICES) -> dict[str, str]:
    """The choices that are the same in every row, as text; empty ones are left out."""
    same = [c for c in columns if c in table and len(table) > 1 and table[c].nunique(dropna=False) == 1]
    return {c: text_of(table[c].iloc[0]) for c in same if text_of(table[c].iloc[0])}


def varying(table: pd.DataFrame, columns: Sequence[str] = CHOICES) -> list[str]:
    """The choices that tell the rows apart, and always the sampler."""
    there = [c for c in columns if c in table]
    return [c for c in there if c == "sampler" or len(table) < 2 or table[c].nunique(dropna=False) > 1]


def text_of(value: object) -> str:
    """A choice as text."""
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else short(float(value))  # type: ignore[arg-type, call-overload]


class Entry(NamedTuple):
    """A metric of a cell as text."""

    value: str
    interval: str
    best: bool
    """Whether the data cannot tell it from the best."""


class Row(NamedTuple):
    """A cell: its choices, and its metrics in the order of the columns."""

    cell: str
    choices: list[str]
    entries: list[Entry]


class Entries(NamedTuple):
    """A table as text, before any mark-up."""

    columns: list[str]
    metrics: list[str]
    rows: list[Row]
    same: dict[str, str]
    """Choices that are the same in every row."""
    bold: str
    """What bold says, "" where nothing is."""


def entries(results: pd.DataFrame, chosen: Sequence[str] | None = None, judge: Judge | None = None) -> Entries:
    """A row per cell that came out well: the choices that tell the rows apart, and the chosen metrics (default: all).

    Raises:
        ValueError: for a metric that the results do not have.
    """
    chosen = metrics(results) if chosen is None else chosen
    table = wide(results, judge, chosen)
    columns = varying(table)
    rows = [
        Row(row["cell"], [text_of(row[c]) for c in columns], [_entry(row, metric) for metric in chosen])
        for _, row in table.iterrows()
    ]
    marked = any(entry.best for row in rows for entry in row.entries)
    bold = f"{BOLD}{PAIRED if judge else ''}." if marked else ""
    return Entries(columns, list(chosen), rows, constant(table), bold)


def _entry(row: pd.Series, metric: str) -> Entry:
    value, low, high = row[metric], row[f"{metric} low"], row[f"{metric} high"]
    return Entry(number(value, low, high), interval(value, low, high), bool(row[f"{metric} best"]))


def markdown(results: pd.DataFrame, chosen: Sequence[str] | None = None, judge: Judge | None = None) -> str:
    """A GitHub table of the varying choices and the metrics; bold marks what the data cannot tell from the best."""
    found = entries(results, chosen, judge)
    heads = [*found.columns, *found.metrics]
    lines = [_row([_plain(head) for head in heads]), _row(["---"] * len(found.columns) + ["---:"] * len(found.metrics))]
    for row in found.rows:
        lines.append(_row([*map(_plain, row.choices), *map(_marked, row.entries)]))
    lines += ["", found.bold] if found.bold else []
    if found.same:
        lines += ["", "The same in every row: " + ", ".join(f"{k} {_plain(v)}" for k, v in found.same.items()) + "."]
    return "\n".join(lines) + "\n"


def _marked(entry: Entry) -> str:
    text = f"{entry.value} {entry.interval}".rstrip()
    return f"**{text}**" if entry.best else text


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _plain(text: str) -> str:
    """Text that Markdown leaves alone: no table bars, no line breaks, no tags."""
    flat = " ".join(text.split())
    for sign in "\\|`*<[":
        flat = flat.replace(sign, "\\" + sign)
    return flat

"""What charts share: the rows as data, the look of samplers, what a pointer reads, axes that name their direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from ..metric_words import better, short_name
from ..results import direction, metrics
from .rows import Row
from .theme import DASHES, colours, config, shapes

DATA = "rows"
"""The name of the data in every chart, by which a page replaces them."""
NAMED = alt.NamedData(DATA)
VALID = "isValid(datum.value)"


def finished(chart: Any, rows: Sequence[Row] | None) -> Any:
    """The chart in the house style with its rows, or without any: then they are to be supplied by name."""
    chart = chart.configure(**config())
    chart.data = NAMED if rows is None else alt.InlineData(values=list(rows), name=DATA)
    return chart


def samplers(rows: Sequence[Row]) -> list[str]:
    return sorted({row["sampler"] for row in rows})


def colour(rows: Sequence[Row], *, legend: bool = True) -> alt.Color:
    """The sampler's colour; one sampler needs no legend."""
    names = samplers(rows)
    shown: dict[str, Any] = {} if legend and len(names) > 1 else {"legend": None}
    return alt.Color("sampler:N", scale=alt.Scale(domain=names, range=colours(names)), **shown)


def shape(rows: Sequence[Row], *, legend: bool = True) -> alt.Shape:
    names = samplers(rows)
    shown: dict[str, Any] = {} if legend and len(names) > 1 else {"legend": None}
    return alt.Shape("sampler:N", scale=alt.Scale(domain=names, range=shapes(names)), **shown)


def dashes(rows: Sequence[Row]) -> dict[str, alt.StrokeDash]:
    """Dashes for spacing, schedule and run, where lines of a sampler differ in them."""
    names = sorted({row["variant"] for row in rows})
    if len(names) < 2:
        return {}
    scale = alt.Scale(domain=names, range=[DASHES[i % len(DASHES)] for i in range(len(names))])
    return {"strokeDash": alt.StrokeDash("variant:N", scale=scale)}


def tooltip(results: pd.DataFrame, metric: str) -> list[alt.Tooltip]:
    """What the pointer reads off a cell."""
    said = [("setting", "Setting"), ("text", short_name(metric, metrics(results)))]
    shown = [alt.Tooltip(f"{field}:N", title=title) for field, title in said]
    shown += [
        alt.Tooltip("nfe:Q", title="Evaluations", format="~r"),
        alt.Tooltip("seconds:Q", title="Seconds an image", format=".3~g"),
    ]
    if "rank_low" in results and direction(results, metric) is not None:
        shown += [alt.Tooltip("rank:N", title="Rank"), alt.Tooltip("chance:N", title="Chance to be best")]
    return shown


def towards(results: pd.DataFrame, metric: str) -> str:
    """The metric with the direction in which it is better."""
    return f"{short_name(metric, metrics(results))} ({better(results, metric)})"


def extent(rows: Sequence[Row], value: str = "value", low: str = "low", high: str = "high") -> tuple[float, float]:
    """The least and the greatest end of the intervals."""
    bottom = [row[value] if row[low] is None else row[low] for row in rows if row[value] is not None]
    top = [row[value] if row[high] is None else row[high] for row in rows if row[value] is not None]
    return (min(bottom), max(top)) if bottom else (0.0, 1.0)


def scale(low: float, high: float, padding: float = 0) -> alt.Scale:
    """A logarithmic scale where values span so much that no other shows the small ones; never forced to begin at 0."""
    if low > 0 and high / low > 4:
        return alt.Scale(type="log", nice=False, padding=padding)
    return alt.Scale(zero=False, nice=False, padding=padding)

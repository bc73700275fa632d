"""The ranking with its certainty: the best cells in order, intervals, possible ranks and chances to be the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from ..comparisons import Judge
from ..metric_words import quality as decisive
from ..results import direction
from .parts import VALID, colour, finished, shape, tooltip, towards
from .rows import Row, chart_rows
from .theme import INK, SOFT

MOST = 20


def ranking(
    results: pd.DataFrame, metric: str | None = None, judge: Judge | None = None, *, most: int = MOST,
    given: Sequence[Row] | None = None,
) -> Any:  # fmt: skip
    """The first cells by the metric (by default the one that decides); None for a metric that ranks nothing.

    Ranks are those the paired comparisons leave open, at 95 % for all cells together.
    """
    metric = metric or decisive(results)
    higher = None if metric is None else direction(results, metric)
    if metric is None or higher is None:
        return None
    rows = chart_rows(results, metric, judge) if given is None else list(given)
    order = alt.SortField("value", order="descending" if higher else "ascending")
    base = alt.Chart().transform_filter(VALID)
    base = base.transform_window(place="row_number()", sort=[order]).transform_filter(f"datum.place <= {most}")
    names = alt.Axis(
        labelLimit=340,
        labelFontSize=12,
        title=None,
        grid=False,
        labelColor=INK["light"],
        labelExpr="split(datum.label, '\\t')[0]",
    )
    base = base.transform_calculate(name="datum.setting + '\\t' + datum.cell")
    y = alt.Y("name:N", sort=alt.EncodingSortField("place"), axis=names)
    x = alt.X(
        "value:Q",
        title=towards(results, metric),
        scale=alt.Scale(zero=False, nice=False, padding=10),
        axis=alt.Axis(tickCount=7),
    )
    shown = tooltip(results, metric)
    layers = [
        base.mark_rule(strokeWidth=2.2, opacity=0.55).encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=colour(rows)),
        base.mark_point(filled=True, size=64, opacity=1).encode(
            x=x, y=y, color=colour(rows), shape=shape(rows), tooltip=shown
        ),
    ]  # fmt: skip
    if any(row["rank"] for row in rows):
        layers += [_column(base, y, "rank", "Rank", 46), _column(base, y, "chance", "Chance to be best", 158)]
    return finished(alt.layer(*layers).properties(width=420, height=alt.Step(24)), rows if given is None else None)


def _column(base: alt.Chart, y: alt.Y, field: str, title: str, offset: int) -> Any:
    """Text beside the plot, with its title on top."""
    at = alt.value(alt.expr("width"))
    texts = base.mark_text(align="right", dx=offset, fontSize=11.5).encode(x=at, y=y, text=f"{field}:N")
    top = base.transform_filter("datum.place === 1").mark_text(
        align="right", dx=offset, fontSize=11.5, color=SOFT["light"], text=title
    )
    return alt.layer(texts, top.encode(x=at, y=alt.value(-10)))

"""Steps against guidance: a panel per line, each square with its number; lighter is better, a frame marks the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from ..comparisons import Judge
from ..lines import guidances
from ..metric_words import quality as decisive
from ..results import direction
from .parts import data, extent, finished, kind, tooltip
from .rows import Row, chart_rows

COLUMNS = 3


def heat(
    results: pd.DataFrame, metric: str | None = None, judge: Judge | None = None, *, rows: Sequence[Row] | None = None
) -> Any:
    """The metric (by default the one that decides) in colours that all panels share.

    Framed squares are those the data cannot tell from the best of their model; squares without a number say why.
    """
    metric = metric or decisive(results)
    if metric is None:
        raise ValueError("no metric of these results is ranked; name one")
    rows = chart_rows(results, metric, judge) if rows is None else rows
    x = alt.X("guidance:N", sort=list(guidances(results).values()), title=None, axis=alt.Axis(labelAngle=0, grid=False))
    y = alt.Y("steps:O", title="steps", axis=alt.Axis(grid=False))
    upside_down = direction(results, metric) is False
    scale = alt.Scale(type=kind(*extent(rows, low="value", high="value")), zero=False, nice=False)
    scale.scheme, scale.reverse = "cividis", upside_down
    paint = alt.Color("value:Q", legend=None, scale=scale)
    base = alt.Chart().encode(x=x, y=y)
    known = base.transform_filter("isValid(datum.value)")
    on_dark = "luminance(scale('color', datum.value)) < 0.18"
    ink = alt.condition(on_dark, alt.value("#ffffff"), alt.value("#000000"))
    layers = (
        known.mark_rect(cornerRadius=3, width={"band": 0.95}, height={"band": 0.92}).encode(
            color=paint, tooltip=tooltip(results, metric)
        ),
        known.transform_filter("datum.best").mark_rect(
            cornerRadius=2, filled=False, strokeWidth=1.3, width={"band": 0.84}, height={"band": 0.72}
        ).encode(stroke=ink),
        known.mark_text(fontSize=11).encode(text="short:N", color=ink),
        base.transform_filter("!isValid(datum.value)").mark_text(fontSize=10, opacity=0.65).encode(text="status:N"),
    )  # fmt: skip
    panel = alt.layer(*layers).properties(width=alt.Step(58), height=alt.Step(30))
    header = alt.Header(title=None, labelAnchor="start", labelAlign="left")
    chart = panel.facet(facet=alt.Facet("panel:N", header=header), columns=COLUMNS, data=data(rows), spacing=28)
    return finished(chart.resolve_scale(x="independent", y="independent"))

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
from .parts import NAMED, VALID, extent, finished, scale, tooltip
from .rows import Row, chart_rows

COLUMNS = 3


def heat(
    results: pd.DataFrame, metric: str | None = None, judge: Judge | None = None, *, given: Sequence[Row] | None = None
) -> Any:
    """The metric (by default the one that decides) in colours that all panels share.

    Framed squares are those the data cannot tell from the best of their model; squares without a number say why.
    """
    metric = metric or decisive(results)
    if metric is None:
        raise ValueError("no metric of these results is ranked; name one")
    rows = chart_rows(results, metric, judge) if given is None else list(given)
    x = alt.X("guidance:N", sort=list(guidances(results).values()), title=None, axis=alt.Axis(labelAngle=0, grid=False))
    y = alt.Y("steps:O", title="steps", axis=alt.Axis(grid=False))
    upside_down = direction(results, metric) is False
    colours = scale(*extent(rows, low="value", high="value"))
    colours.scheme, colours.reverse = "cividis", upside_down
    paint = alt.Color("value:Q", legend=None, scale=colours)
    base = alt.Chart().encode(x=x, y=y)
    on_dark = f"{VALID} && luminance(scale('color', datum.value)) < 0.18"
    ink = alt.when(on_dark).then(alt.value("#ffffff")).otherwise(alt.value("#000000"))
    layers = (
        base.mark_rect(cornerRadius=3, width={"band": 0.95}, height={"band": 0.92}).encode(
            color=alt.when(VALID).then(paint).otherwise(alt.value("transparent")), tooltip=tooltip(results, metric)
        ),
        base.mark_rect(
            cornerRadius=2, filled=False, strokeWidth=1.3, width={"band": 0.84}, height={"band": 0.72}
        ).encode(stroke=ink, strokeOpacity=alt.when(alt.datum.best).then(alt.value(1)).otherwise(alt.value(0))),
        base.mark_text(fontSize=11).encode(text="said:N", color=ink),
    )
    panel = alt.layer(*layers).properties(width=alt.Step(58), height=alt.Step(30))
    header = alt.Header(title=None, labelAnchor="start", labelAlign="left")
    chart = panel.facet(facet=alt.Facet("panel:N", header=header), columns=COLUMNS, data=NAMED, spacing=28)
    chart = chart.transform_calculate(said=f"{VALID} ? datum.short : datum.status")
    return finished(chart.resolve_axis(x="independent", y="independent"), rows if given is None else None)

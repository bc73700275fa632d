"""What guidance trades: quality against prompt adherence, a line per sampler along the guidance scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from ..comparisons import Judge
from ..metric_words import adherence, short_name
from ..metric_words import quality as decisive
from ..results import metrics
from .parts import NAMED, VALID, colour, dashes, extent, finished, samplers, scale, shape, tooltip, towards
from .rows import Row, chart_rows

PANELS = 3


def tradeoff(
    results: pd.DataFrame, metric: str | None = None, judge: Judge | None = None, *, given: Sequence[Row] | None = None
) -> Any:
    """The metric (by default the one that decides) over adherence; a panel for few, medium and many steps.

    Points are labelled with their guidance scale, at one sampler where there are many. Crosses are intervals. None
    where the results have no metric of adherence besides the one drawn.
    """
    metric, other = metric or decisive(results), adherence(results)
    if metric is None or other is None or metric == other:
        return None
    rows = chart_rows(results, metric, judge) if given is None else list(given)
    both = f"{VALID} && isValid(datum.across)"
    base = alt.Chart().transform_filter(both)
    x = alt.X("across:Q", title=towards(results, other), scale=alt.Scale(zero=False, nice=False, padding=14))
    y = alt.Y(
        "value:Q", title=towards(results, metric), scale=scale(*extent(rows), padding=14), axis=alt.Axis(format="~g")
    )
    name = short_name(other, metrics(results))
    shown = [*tooltip(results, metric), alt.Tooltip("across_text:N", title=name)]
    paint = colour(rows)
    layers = (
        base.mark_rule(opacity=0.35).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=paint),
        base.mark_rule(opacity=0.35).encode(x=alt.X("across_low:Q"), x2="across_high:Q", y=y, color=paint),
        base.mark_line().encode(x=x, y=y, color=paint, detail="path:N", order="scale:Q", **dashes(rows)),
        base.mark_point(filled=True, size=52, opacity=1).encode(
            x=x, y=y, color=paint, shape=shape(rows), tooltip=shown
        ),
        _scales(base, rows).encode(x=x, y=y, color=paint),
    )
    panel = alt.layer(*layers).properties(width=290, height=260)
    by_steps = alt.Facet("steps:O", header=alt.Header(title=None, labelExpr="datum.value + ' steps'"))
    return finished(panel.facet(facet=by_steps, columns=PANELS, data=NAMED), few(rows) if given is None else None)


def few(rows: Sequence[Row]) -> list[Row]:
    """The rows of at most three numbers of steps, the first, the middle one and the last, where there are more."""
    found = sorted({row["steps"] for row in rows if row["value"] is not None and row["across"] is not None})
    kept = found if len(found) <= PANELS else [found[0], found[len(found) // 2], found[-1]]
    return [row for row in rows if row["steps"] in kept]


def _scales(base: alt.Chart, rows: Sequence[Row]) -> alt.Chart:
    """The guidance scale beside its point."""
    named = base.mark_text(dx=7, dy=-7, align="left", fontSize=10.5).encode(text=alt.Text("scale:Q", format="~g"))
    first = samplers(rows)
    return named.transform_filter(f"datum.sampler === {first[0]!r}") if len(first) > 4 else named

"""Quality against cost: every cell with its interval, lines along the steps, and the Pareto front in ink.

A cell is on the front when no cell of at most its cost has a better value. Its point is as large as the probability
that this is so, where the comparisons know it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from ..comparisons import Judge
from ..metric_words import family
from ..metric_words import quality as decisive
from ..results import direction
from .parts import VALID, colour, dashes, extent, finished, scale, shape, tooltip, towards
from .rows import Row, chart_rows
from .theme import INK

COSTS = {"nfe": "network evaluations per image", "seconds": "seconds per image"}


def quality(
    results: pd.DataFrame, metric: str | None = None, cost: str = "nfe", judge: Judge | None = None, *,
    given: Sequence[Row] | None = None,
) -> Any:  # fmt: skip
    """The metric (by default the one that decides) against ``cost``, "nfe" or "seconds", on a kind axis.

    Raises:
        ValueError: there is no such cost, or no metric to draw.
    """
    metric = metric or decisive(results)
    if cost not in COSTS or metric is None:
        raise ValueError(f"cost = {cost!r} is not nfe or seconds" if metric else "no metric of these results is ranked")
    rows, higher = chart_rows(results, metric, judge) if given is None else list(given), direction(results, metric)
    base = alt.Chart().transform_filter(f"{VALID} && datum.{cost} > 0")
    near = alt.selection_point("near", fields=["curve"], on="pointerover", clear="pointerout", empty=False)
    x = alt.X(
        f"{cost}:Q", title=COSTS[cost], scale=alt.Scale(type="log", nice=False, padding=18), axis=_ticks(rows, cost)
    )
    y = alt.Y("value:Q", title=towards(results, metric), scale=_heights(rows, metric), axis=alt.Axis(format="~g"))
    layers = [_intervals(base, x, rows, near), _lines(base, x, y, rows, near)]
    if higher is not None:
        layers += _front(base, x, y, cost, higher)
    layers.append(_points(base, x, y, rows, cost, tooltip(results, metric)).add_params(near))
    return finished(alt.layer(*layers).properties(width=640, height=380), rows if given is None else None)


def _intervals(base: alt.Chart, x: alt.X, rows: Sequence[Row], near: alt.Parameter) -> alt.Chart:
    opacity = alt.when(near).then(alt.value(0.9)).otherwise(alt.value(0.3))
    return base.mark_rule(strokeWidth=1.4).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour(rows), opacity=opacity
    )


def _lines(base: alt.Chart, x: alt.X, y: alt.Y, rows: Sequence[Row], near: alt.Parameter) -> alt.Chart:
    return base.mark_line(interpolate="linear").encode(
        x=x, y=y, color=colour(rows), detail="curve:N", **dashes(rows),
        opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0.28)),
        strokeWidth=alt.when(near).then(alt.value(2.6)).otherwise(alt.value(1.4)),
    )  # fmt: skip


def _front(base: alt.Chart, x: alt.X, y: alt.Y, cost: str, higher: bool) -> list[alt.Chart]:
    """Steps along the best values so far, and the names of those cells."""
    best, order = ("max", "descending") if higher else ("min", "ascending")
    on = base.transform_window(
        record=f"{best}(value)", frame=[None, 0], groupby=["model"],
        sort=[alt.SortField(cost), alt.SortField("value", order=order)],  # type: ignore[arg-type]
    ).transform_filter("datum.value === datum.record")  # fmt: skip
    first = on.transform_window(
        turn="row_number()", groupby=["model", "value"], sort=[alt.SortField(cost)]
    ).transform_filter("datum.turn === 1")
    ink = INK["light"]
    steps = first.mark_line(interpolate="step-after", color=ink, strokeWidth=1.6, opacity=0.85).encode(
        x=x, y=y, detail="model:N"
    )
    named = first.transform_calculate(brief="datum.sampler + ' ' + datum.steps + ' · ' + datum.guidance")
    named = named.transform_window(place="row_number()", groupby=["model"], sort=[alt.SortField(cost)])
    out = 14 if not higher else -14  # away from the other cells, all of which are on the other side of the front
    return [steps] + [
        named.transform_filter(where).mark_text(align=side, dx=dx, dy=out, color=ink).encode(x=x, y=y, text="brief:N")
        for where, side, dx in (("datum.place === 1", "left", 0), ("datum.place > 1", "right", 2))
    ]


def _points(base: alt.Chart, x: alt.X, y: alt.Y, rows: Sequence[Row], cost: str, shown: list[alt.Tooltip]) -> alt.Chart:
    likely = f"isValid(datum.p_front_{cost}) ? datum.p_front_{cost} : 0.2"
    sized = base.transform_calculate(likely=likely).mark_point(filled=True, opacity=0.95)
    size = alt.Size("likely:Q", scale=alt.Scale(domain=[0, 1], range=[34, 190], clamp=True), legend=None)
    return sized.encode(x=x, y=y, color=colour(rows), shape=shape(rows), size=size, tooltip=shown)


def _heights(rows: Sequence[Row], metric: str) -> alt.Scale:
    low, high = extent(rows)
    positive = [row["value"] for row in rows if row["value"]]
    if family(metric) == "trajectory_error" and positive and min(positive) > 0:
        return alt.Scale(type="log", nice=False, padding=12, clamp=True, domainMin=min(positive) / 1.5)
    return scale(low, high, padding=12)


def _ticks(rows: Sequence[Row], cost: str) -> alt.Axis:
    """The numbers of evaluations that occur, without those too close to the one before; seconds are not counted."""
    found = sorted({row[cost] for row in rows if row[cost] and row["value"] is not None})
    if cost != "nfe" or not found:
        return alt.Axis(format="~g", tickCount=6)
    span, kept = math.log(found[-1] / found[0]) or 1.0, found[:1]
    for value in found[1:]:
        if math.log(value / kept[-1]) / span > 0.06:
            kept.append(value)
    return alt.Axis(values=kept, format="~r")

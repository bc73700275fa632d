"""The charts of the exploration page, as Altair charts whose named data the page replaces as its sliders move."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from .charts.theme import COLOURS

QUIET, MARK = "#8b949c", "#d55e00"
CURVES, CHOSEN, STEPS, SPACINGS, DISTANCES, NOW = "curves", "chosen", "steps", "spacings", "distances", "now"
"""Names of the data: all schedules, the chosen one, its steps, every spacing's steps, the walks, the slider."""


ROW = 19  # pixels of a spacing's row
ENDS = alt.Scale(domain=[-14, 14], clamp=True)
"""Of the log-SNR; infinite ends stand at the edges."""


def charts(spacings: Sequence[str]) -> dict[str, alt.Chart | alt.LayerChart]:
    """Every chart, by the id of the element that holds it."""
    share = alt.Scale(domain=[0, 1])
    return {
        "alpha-bar": _over_time(alt.Y("alpha_bar:Q", title="alpha-bar = alpha² / (alpha² + sigma²)", scale=share)),
        "log-snr": _over_time(alt.Y("logsnr:Q", title="log-SNR = 2 log(alpha / sigma)", scale=ENDS)),
        "spacings": _spacings(spacings),
        "distances": _distances(),
    }


def _over_time(y: alt.Y) -> alt.LayerChart:
    """Every schedule faint, the chosen one in full, with the steps that a spacing takes on it."""
    x = alt.X("t:Q", title="t, clean to noise", scale=alt.Scale(domain=[0, 1]))
    tooltip = ["schedule:N", alt.Tooltip("t:Q", format=".3f"), alt.Tooltip(y.shorthand, format=".3f")]
    every = alt.Chart(alt.NamedData(CURVES)).mark_line(strokeWidth=1, opacity=0.28, color=QUIET)
    chosen = alt.Chart(alt.NamedData(CHOSEN)).mark_line(strokeWidth=2.5)
    steps = alt.Chart(alt.NamedData(STEPS)).mark_point(filled=True, size=48, color=MARK, opacity=1)
    down = alt.Chart(alt.NamedData(STEPS)).mark_rule(color=MARK, opacity=0.35)
    return alt.layer(
        every.encode(x, y, alt.Detail("schedule:N"), tooltip=["schedule:N"]),
        chosen.encode(x, y, tooltip=["schedule:N"]),
        down.encode(x),
        steps.encode(x, y, tooltip=["step:Q", *tooltip[1:]]),
    ).properties(width="container", height=280)


def _spacings(names: Sequence[str]) -> alt.Chart:
    """Where every spacing puts its steps on the chosen schedule: a row for each, along the log-SNR."""
    x = alt.X("logsnr:Q", title="log-SNR, noise to image", scale=ENDS, axis=alt.Axis(tickCount=8))
    axis = alt.Axis(grid=True, ticks=False, domain=False, labelLimit=200)
    y = alt.Y("spacing:N", title=None, scale=alt.Scale(domain=list(names)), axis=axis)
    chosen = alt.condition("datum.chosen", alt.value(MARK), alt.value("#3b8fd0"))
    tick = alt.Chart(alt.NamedData(SPACINGS)).mark_tick(thickness=2.5, size=13, opacity=1)
    tooltip = ["spacing:N", "step:Q", alt.Tooltip("logsnr:Q", format=".3f"), alt.Tooltip("t:Q", format=".3f")]
    encoded = tick.encode(x, y, color=chosen, tooltip=tooltip)
    return encoded.properties(width="container", height=ROW * len(names))


def _distances() -> alt.LayerChart:
    """How far each prediction of x0 is from the image that the walk ends with, along the log-SNR."""
    x = alt.X("logsnr:Q", title="log-SNR, noise to image", scale=ENDS, axis=alt.Axis(tickCount=8))
    y = alt.Y("distance:Q", title="rms distance of the predicted x0 from the end")
    look = alt.Scale(range=list(COLOURS))
    colour = alt.Color("walk:N", title=None, sort=None, scale=look, legend=alt.Legend(orient="top", labelLimit=400))
    lines = alt.Chart(alt.NamedData(DISTANCES)).mark_line(point=alt.OverlayMarkDef(size=26))
    now = alt.Chart(alt.NamedData(NOW)).mark_point(size=150, strokeWidth=2.5)
    tooltip = ["walk:N", "evaluation:Q", alt.Tooltip("logsnr:Q", format=".3f"), alt.Tooltip("distance:Q", format=".4f")]
    return alt.layer(
        lines.encode(x, y, colour, tooltip=tooltip), now.encode(x, y, colour)
    ).properties(width="container", height=260)  # fmt: skip

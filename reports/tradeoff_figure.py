"""The guidance trade-off: quality against prompt adherence, a line per sampler along the guidance scale."""

from __future__ import annotations

from typing import cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .draw import Look, Panel, axes, looks, message, panel, settle
from .lines import Line, guidance_text, line_of, on, steps_text
from .metric_words import adherence, quality, short_name
from .results import direction, measured, metrics

PLACES = ((5, 4), (5, -10), (-11, 4), (-11, -10), (-3, 8), (-3, -14), (12, -3), (-18, -3))
"""Where a label may go, in points from its own."""
MANY = 24
"""Points in a panel beyond which labels would cover each other."""


def tradeoff(
    results: pd.DataFrame, *, across: str | None = None, up: str | None = None, steps: list[int] | None = None,
    legend: bool = True,
) -> list[Panel]:  # fmt: skip
    """One panel per model and number of steps (by default the fewest, the middle and the most), each with its own axes.

    Points are labelled with the guidance scale, or the guidance itself where it has none. Crosses are 95 % intervals.
    """
    across, up = across or adherence(results), up or quality(results)
    if across is None or up is None or across == up:
        return []
    points = pair(results, across, up)
    style, models, panels = looks(results), list(dict.fromkeys(results["model"])), []
    for model in models:
        of_model = points[points["model"] == model]
        for count in steps if steps is not None else few(sorted(of_model["steps"].unique())):
            heading = " · ".join([*([model] if len(models) > 1 else []), steps_text(count)])
            with axes() as ax:
                _label(ax, results, across, up)
                _panel(ax, of_model[of_model["steps"] == count], style)
                if legend and ax.get_legend_handles_labels()[0]:
                    ax.legend(fontsize=7.5)
                panels.append(panel(heading, ax))
    return panels


def pair(results: pd.DataFrame, across: str, up: str) -> pd.DataFrame:
    """Cells with both metrics: the rows of ``across`` with value_up, low_up and high_up beside them."""
    right = measured(results, up)[["cell", "value", "low", "high"]]
    return measured(results, across).merge(right, on="cell", suffixes=("", "_up"))


def few(steps: list[int]) -> list[int]:
    """At most three: the first, the middle one and the last."""
    return steps if len(steps) <= 3 else [steps[0], steps[len(steps) // 2], steps[-1]]


def _panel(ax: Axes, rows: pd.DataFrame, style: dict[Line, Look]) -> None:
    if rows.empty:
        message(ax, "no cell with both metrics")
        return
    for line, look in style.items():
        label: str | None = look.label
        for _, of_method in on(rows, line).groupby("method", sort=True):
            _line(ax, of_method.sort_values("scale"), look, label)
            label = None
    for axis, names in (("x", ("value", "low", "high")), ("y", ("value_up", "low_up", "high_up"))):
        value, low, high = (rows[name] for name in names)
        bottom, top = low.fillna(value).min(), high.fillna(value).max()
        margin = 0.08 * (top - bottom) or 0.05 * abs(top) or 1.0
        getattr(ax, f"set_{axis}lim")(bottom - margin, top + margin)
    _name_points(ax, rows, style)


def _line(ax: Axes, rows: pd.DataFrame, look: Look, label: str | None) -> None:
    x, y, colour = rows["value"], rows["value_up"], look.colour
    ax.plot(x, y, color=colour, marker=look.marker, linestyle=look.dashes, label=label, zorder=3)
    ax.vlines(x, rows["low_up"], rows["high_up"], color=colour, linewidth=0.9, alpha=0.55, zorder=2)
    ax.hlines(y, rows["low"], rows["high"], color=colour, linewidth=0.9, alpha=0.55, zorder=2)


def _name_points(ax: Axes, rows: pd.DataFrame, style: dict[Line, Look]) -> None:
    """Write the scale beside each point, where it is freest of points and other labels; with many, at one line only."""
    settle(cast(Figure, ax.figure))
    if len(rows) > MANY:
        rows = on(rows, next(line for line in style if len(on(rows, line))))
    unit = ax.figure.dpi / 72
    at = [tuple(point / unit) for point in ax.transData.transform(rows[["value", "value_up"]].to_numpy())]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in at]
    for (x, y), (_, row) in zip(at, rows.iterrows(), strict=True):
        text = f"{row['scale']:g}" if pd.notna(row["scale"]) else guidance_text(row)
        boxes = [(x + dx, y + dy, x + dx + 4.6 * len(text), y + dy + 7) for dx, dy in PLACES]
        i = min(range(len(PLACES)), key=lambda i: (sum(_overlap(boxes[i], other) for other in taken), i))
        taken.append(boxes[i])
        point, colour = (row["value"], row["value_up"]), style[line_of(row)].colour
        ax.annotate(text, point, PLACES[i], textcoords="offset points", fontsize=7.5, color=colour)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


def _label(ax: Axes, results: pd.DataFrame, across: str, up: str) -> None:
    names = metrics(results)
    arrows = {True: "  (better →)", False: "  (← better)", None: ""}
    ax.set_xlabel(short_name(across, names) + arrows[direction(results, across)])
    ax.set_ylabel(short_name(up, names) + arrows[direction(results, up)])

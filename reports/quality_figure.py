"""Quality against the number of network evaluations: a line per sampler, a panel per guidance setting and model."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from .draw import Look, Panel, axes, looks, message, panel
from .lines import Line, guidances, on
from .metric_words import better, short_name
from .results import direction, measured, metrics


def quality_by_nfe(results: pd.DataFrame, metric: str, *, legend: bool = True) -> list[Panel]:
    """One panel per model and guidance setting; panels of a model share their vertical axis.

    The horizontal axis is logarithmic. Bands and bars are 95 % intervals. The vertical axis is logarithmic when values
    span more than a factor of four.
    """
    rows, style, panels = measured(results, metric), looks(results), []
    models = list(dict.fromkeys(results["model"]))
    for model in models:
        of_model = rows[rows["model"] == model]
        for guidance, brief in (guidances(of_model) or {"": ""}).items():
            heading = " · ".join(text for text in (model if len(models) > 1 else "", brief) if text)
            with axes() as ax:
                _panel(ax, of_model[of_model["guidance"] == guidance], style, of_model)
                arrow = {True: " ↑", False: " ↓", None: ""}[direction(results, metric)]
                ax.set_ylabel(f"{short_name(metric, metrics(results))}{arrow}  ({better(results, metric)})")
                if legend and ax.get_legend_handles_labels()[0]:
                    ax.legend(fontsize=7.5)
                panels.append(panel(heading, ax))
    return panels


def _panel(ax: Axes, rows: pd.DataFrame, style: dict[Line, Look], of_model: pd.DataFrame) -> None:
    ax.set_xlabel("network evaluations per image")
    rows = rows[rows["nfe"] > 0]
    if rows.empty:
        message(ax, "no measured cell")
        return
    ax.set_xscale("log")
    for line, look in style.items():
        _line(ax, on(rows, line), look)
    _ticks(ax, sorted(rows["nfe"].unique()))
    _heights(ax, of_model)


def _line(ax: Axes, rows: pd.DataFrame, look: Look) -> None:
    rows = rows.sort_values("nfe")
    if rows.empty:
        return
    x, y = rows["nfe"].to_numpy(), rows["value"].to_numpy()
    ax.plot(x, y, color=look.colour, marker=look.marker, linestyle=look.dashes, label=look.label, zorder=3)
    known = rows[rows["low"].notna() & rows["high"].notna()]
    if len(known) == len(rows) > 1:
        ax.fill_between(x, known["low"], known["high"], color=look.colour, alpha=0.13, linewidth=0, zorder=1)
    ax.vlines(known["nfe"], known["low"], known["high"], color=look.colour, linewidth=1.1, zorder=2)


def _ticks(ax: Axes, values: list[float]) -> None:
    """Label the numbers of evaluations that occur, leaving out those too close to the one before."""
    span = math.log(values[-1] / values[0]) or 1.0
    kept: list[float] = []
    for value in values:
        if not kept or math.log(value / kept[-1]) / span > 0.075:
            kept.append(value)
    ax.xaxis.set_major_locator(FixedLocator(kept))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    room = 0.06 * span if len(values) > 1 else 0.5
    ax.set_xlim(values[0] * math.exp(-room), values[-1] * math.exp(room))


def _heights(ax: Axes, of_model: pd.DataFrame) -> None:
    low = of_model["low"].fillna(of_model["value"]).min()
    high = of_model["high"].fillna(of_model["value"]).max()
    if low > 0 and high / low > 4:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_ylim(low / 1.15, high * 1.15)
        return
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - margin, high + margin)

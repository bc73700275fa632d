"""Error against model evaluations on logarithmic axes: a panel per family of methods, every line named at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator
from PIL import Image

from .draw import COLOURS, STYLE, settle

Draw = Callable[[Path], None]
TEXT, LINE = 6.5, 7.6
"""Size of a name and height of a line of it, in points."""
FLOOR = 1e-11
"""Errors below it are rounding and not drawn."""


class Curve(NamedTuple):
    """A line of a panel; ``theirs`` is a peer's."""

    label: str
    nfe: tuple[float, ...]
    error: tuple[float, ...]
    theirs: bool = False


def orders_figure(errors: pd.DataFrame, orders: pd.DataFrame) -> Draw | None:
    """Our methods with their default settings, a panel for each order, cost and kind; None without any.

    With none but variants, all of them.
    """
    ours = orders[~orders["peer"] & orders["order"].notna()].drop_duplicates(["source", "name"], keep="last")
    plain = ours[~ours["name"].str.contains("(", regex=False)]
    panels: dict[str, list[Curve]] = {}
    for _, row in (plain if len(plain) else ours).iterrows():
        panels.setdefault(_family(row), []).append(_curve(errors, row, row["name"]))
    return _draw({title: _merged(panels[title]) for title in sorted(panels)}, columns=3, size=(3.9, 2.9))


def peers_figure(errors: pd.DataFrame, orders: pd.DataFrame) -> Draw | None:
    """A panel for each of our samplers that a peer has too; None without peers."""
    theirs = orders[orders["peer"] & orders["order"].notna()]
    panels = {}
    for name in theirs["counterpart"].drop_duplicates():
        ours = orders[(orders["name"] == name) & ~orders["peer"]].tail(1)
        curves = [_curve(errors, row, "sigmabench") for _, row in ours.iterrows()]
        for _, row in theirs[theirs["counterpart"] == name].iterrows():
            host = row["source"].split(" ")[0]
            process = " flow" if row["process"] == "flow" else ""
            curves.append(_curve(errors, row, host + process, theirs=True))
        panels[name] = _merged(curves)
    return _draw(panels, columns=4, size=(2.9, 2.3))


def _family(row: pd.Series) -> str:
    kind = "With noise" if row["measured"] == "distribution" else "No noise"
    if pd.isna(row["evaluations"]):
        return f"{kind}, steps chosen by the method"
    order = min(int(row["declared"]), 4) if pd.notna(row["declared"]) else 1
    cost = "one evaluation a step" if row["evaluations"] == 1 else "several evaluations a step"
    return f"{kind}, order {order}{' and above' if order == 4 else ''}, {cost}"


def _curve(errors: pd.DataFrame, row: pd.Series, label: str, theirs: bool = False) -> Curve:
    same = (errors["source"] == row["source"]) & (errors["name"] == row["name"])
    rows = errors[same & (errors["process"] == row["process"]) & (errors["path"] == "finite")].sort_values("nfe")
    rows = rows[rows["error"] > FLOOR]
    return Curve(label, tuple(rows["nfe"]), tuple(rows["error"]), theirs)


def _merged(curves: Sequence[Curve]) -> list[Curve]:
    """Lines that lie on each other become one with all their names."""
    merged: list[Curve] = []
    for curve in curves:
        twin = next((other for other in merged if _same(curve, other)), None)
        if twin:
            merged[merged.index(twin)] = twin._replace(label=_also(twin.label, curve.label))
        elif curve.nfe:
            merged.append(curve)
    return merged


def _also(names: str, name: str) -> str:
    return names if name in names.split(", ") else f"{names}, {name}"


def _same(a: Curve, b: Curve) -> bool:
    """Equal to 1 %, or where they are both close to single precision's rounding."""
    close = (abs(x - y) <= 0.01 * y + 1e-6 for x, y in zip(a.error, b.error, strict=False))
    return a.nfe == b.nfe and all(close)


def _draw(panels: dict[str, list[Curve]], columns: int, size: tuple[float, float]) -> Draw | None:
    if not panels:
        return None
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)

    def draw(path: Path) -> None:
        with mpl.rc_context(STYLE | {"figure.facecolor": "white", "savefig.facecolor": "white"}):
            figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
            FigureCanvasAgg(figure)
            grid = figure.subplots(rows, columns, squeeze=False)
            for ax in grid.flat[len(panels) :]:
                ax.remove()
            for ax, (title, curves) in zip(grid.flat, panels.items(), strict=False):
                _panel(ax, title, curves)
            settle(figure)
            for ax, curves in zip(grid.flat, panels.values(), strict=False):
                _name(ax, curves)
            figure.savefig(path, dpi=90, metadata={"Date": None} if path.suffix == ".svg" else None)
        if path.suffix == ".png":
            Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)

    return draw


def _panel(ax: Axes, title: str, curves: Sequence[Curve]) -> None:
    ax.set_title(title, loc="left", fontsize=8)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for curve, colour in zip(curves, _colours(curves), strict=True):
        dashes = (0, (4, 2)) if curve.theirs else "solid"
        ax.plot(curve.nfe, curve.error, color=colour, linestyle=dashes, marker="o", markersize=2.4, linewidth=1.1)
    counts = [n for curve in curves for n in curve.nfe] or [5.0]
    low, high = min(counts), max(counts)
    ax.set_xlim(low / 1.15, high * (high / low) ** 0.75)  # room for names
    ax.xaxis.set_major_locator(FixedLocator([n for n in (10, 100, 1000) if low <= n <= high]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_major_locator(LogLocator(numticks=7))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
    ax.tick_params(labelsize=7)
    ax.set_xlabel("evaluations", loc="left", fontsize=7)
    ax.set_ylabel("error", loc="top", fontsize=7)


def _name(ax: Axes, curves: Sequence[Curve]) -> None:
    """Write each line's name beside its end, moved up or down where names would cover each other."""
    unit = ax.figure.dpi / 72
    ends = [tuple(ax.transData.transform((curve.nfe[-1], curve.error[-1])) / unit) for curve in curves]
    room = (0.42 * ax.bbox.width / unit - 10) / (0.6 * TEXT)  # in letters, right of the lines
    names = [_wrapped(curve.label, room) for curve in curves]
    floor = ax.transAxes.transform((0, 0))[1] / unit
    heights = _spread([y for _, y in ends], [LINE * (name.count("\n") + 1) for name in names], floor)
    right = max((x for x, _ in ends), default=0.0)
    for curve, name, colour, (x, y), height in zip(curves, names, _colours(curves), ends, heights, strict=True):
        ax.annotate(
            name, (curve.nfe[-1], curve.error[-1]), (right - x + 8, height - y), textcoords="offset points",
            fontsize=TEXT, color=colour, va="center", linespacing=1.0, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def _spread(heights: Sequence[float], sizes: Sequence[float], floor: float) -> list[float]:
    """The middles, moved as little as their order, their sizes and the floor allow."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    for _ in range(300):
        for low, high in pairwise(order):
            overlap = (sizes[low] + sizes[high]) / 2 - (placed[high] - placed[low])
            if overlap > 0:
                placed[low] -= overlap / 2
                placed[high] += overlap / 2
        if order:
            placed[order[0]] = max(placed[order[0]], floor + sizes[order[0]] / 2)
    return placed


def _wrapped(label: str, room: float) -> str:
    """Names below each other, a few to a line."""
    lines = [""]
    for name in label.split(", "):
        if len(lines[-1]) + len(name) > room and lines[-1]:
            lines.append("")
        lines[-1] += f", {name}" if lines[-1] else name
    return ",\n".join(lines)


def _colours(curves: Sequence[Curve]) -> list[str]:
    colours = list(COLOURS)
    if any(curve.theirs for curve in curves):
        ours, theirs = colours[0], iter(colours[1:] * 2)
        return [next(theirs) if curve.theirs else ours for curve in curves]
    return [colours[i % len(colours)] for i in range(len(curves))]

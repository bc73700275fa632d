"""Steps against guidance: a heat map per sampler, each square with its number."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle

from .compare import marks
from .comparisons import Judge
from .draw import Panel, axes, panel
from .lines import guidances, lines, on
from .numbers import DASH, number
from .results import cells, direction, measured


def heat_map(results: pd.DataFrame, metric: str, judge: Judge | None = None) -> list[Panel]:
    """One panel per model and line with a value; all panels of a model share their colours, light is better.

    A ring marks cells the data cannot tell from the best of the model. Squares without a number say why.
    """
    rows, everything, panels = measured(results, metric), cells(results), []
    named, models = lines(results), list(dict.fromkeys(results["model"]))
    marked = marks(results, metric, judge or Judge())
    for model in models:
        of_model, all_cells = rows[rows["model"] == model], everything[everything["model"] == model]
        all_cells = all_cells[all_cells["sampler"].isin(of_model["sampler"])]
        steps, columns = sorted(all_cells["steps"].dropna().unique()), guidances(all_cells)
        paint = _paint(of_model["value"], direction(results, metric))
        for line, label in named.items():
            mine = on(all_cells, line).drop_duplicates(["steps", "guidance"])
            if not mine["cell"].isin(of_model["cell"]).any():
                continue
            with axes((max(2.2, 0.72 * len(columns) + 1.0), max(1.5, 0.36 * len(steps) + 0.75))) as ax:
                _panel(ax, mine, of_model.set_index("cell"), steps, columns, paint, marked)
                panels.append(panel(" · ".join([*([model] if len(models) > 1 else []), label]), ax))
    return panels


def _paint(values: pd.Series, higher: bool | None) -> mpl.cm.ScalarMappable:
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    norm = LogNorm(low, high) if low > 0 and high / low > 4 else Normalize(low, high if high > low else low + 1)
    return mpl.cm.ScalarMappable(norm, mpl.colormaps["cividis_r" if higher is False else "cividis"])


def _panel(
    ax: Axes, mine: pd.DataFrame, rows: pd.DataFrame, steps: list[int], columns: dict[str, str],
    paint: mpl.cm.ScalarMappable, marked: set[str],
) -> None:  # fmt: skip
    for _, cell in mine.iterrows():
        at = list(columns).index(cell["guidance"]), steps.index(cell["steps"]) if cell["steps"] in steps else 0
        if cell["cell"] in rows.index:
            _square(ax, at, rows.loc[cell["cell"]], paint, cell["cell"] in marked)
        else:
            why = cell["status"] if cell["status"] != "ok" else DASH
            ax.text(*at, why, ha="center", va="center", fontsize=7, alpha=0.75)
    ax.set_xticks(range(len(columns)), list(columns.values()))
    ax.set_yticks(range(len(steps)), [str(int(count)) for count in steps])
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(steps) - 0.5, -0.5), xlabel="guidance", ylabel="steps")
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _square(ax: Axes, at: tuple[int, int], row: pd.Series, paint: mpl.cm.ScalarMappable, marked: bool) -> None:
    red, green, blue, _ = colour = paint.to_rgba(row["value"])
    dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45
    ink = "#ffffff" if dark else "#000000"
    ax.add_patch(Rectangle((at[0] - 0.47, at[1] - 0.46), 0.94, 0.92, facecolor=colour, linewidth=0))
    text = number(row["value"], row["low"], row["high"])
    weight = "bold" if marked else "normal"
    ax.text(*at, text, ha="center", va="center", color=ink, fontsize=8, fontweight=weight)
    if marked:
        ax.add_patch(Rectangle((at[0] - 0.42, at[1] - 0.39), 0.84, 0.78, fill=False, edgecolor=ink, linewidth=1.1))

"""The look of matplotlib's figures: quiet axes, and an arrangement that is settled once."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from .charts.theme import COLOURS as COLOURS

INK = "#1c2126"
STYLE: Any = {
    "font.size": 8.5, "axes.titlesize": 9, "axes.labelsize": 8.5, "axes.linewidth": 0.7, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": INK, "grid.alpha": 0.12, "grid.linewidth": 0.6,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "lines.linewidth": 1.6, "lines.markersize": 4.5,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "svg.fonttype": "none",
    "svg.hashsalt": "sigmabench", "text.parse_math": False, "legend.frameon": False, "axes.axisbelow": True,
}  # fmt: skip


def settle(figure: Figure) -> None:
    """Arrange the figure for good, so that it is neither arranged again for each drawing nor moved afterwards."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")

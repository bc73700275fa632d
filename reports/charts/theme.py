"""How charts look: one colour and shape per sampler everywhere, after Okabe and Ito, quiet axes, the page's own type.

The colours remain distinct for colour-blind readers; beyond eight samplers they come round again with another shape.
On dark screens each is replaced by a lighter one, and so is the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLOURS = {
    "#0072b2": "#4fb0ee", "#d55e00": "#ff8a3d", "#009e73": "#2fce9f", "#c4609a": "#ec93c6", "#b8860b": "#eebb3c",
    "#5a67d8": "#9aa5ff", "#6b6b6b": "#b9bec4", "#8c3b2e": "#e58a7b",
}  # fmt: skip
"""Each colour on white paper, and the one that replaces it on a dark screen."""
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "triangle-right", "triangle-left", "cross")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 1, 1, 1])
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif"
INK = {"light": "#1c2126", "dark": "#e8ecef"}
SOFT = {"light": "#5b6570", "dark": "#9aa5ae"}
PAPER = {"light": "#ffffff", "dark": "#14181c"}
RULE = {"light": "#e6eaee", "dark": "#2a3138"}


def colours(samplers: Sequence[str]) -> list[str]:
    """A colour for each sampler of a sorted list."""
    return [list(COLOURS)[i % len(COLOURS)] for i in range(len(samplers))]


def shapes(samplers: Sequence[str]) -> list[str]:
    """A shape for each; after a full round of colours the shapes have moved on."""
    return [SHAPES[(i + 3 * (i // len(COLOURS))) % len(SHAPES)] for i in range(len(samplers))]


def config(theme: str = "light") -> dict[str, Any]:
    """Vega-Lite's configuration on white paper or a dark screen."""
    ink, soft, rule = INK[theme], SOFT[theme], RULE[theme]
    text = {"labelFont": FONT, "titleFont": FONT, "labelColor": soft, "titleColor": ink}
    small = {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "background": "transparent" if theme == "dark" else PAPER[theme],
        "font": FONT,
        "view": {"stroke": None, "continuousWidth": 420, "continuousHeight": 300},
        "axis": {
            **text, **small, "grid": True, "gridColor": rule, "domain": False, "ticks": False, "labelPadding": 6,
            "titlePadding": 10, "labelFlush": False,
        },
        "header": {**text, "labelColor": ink, "labelFontSize": 12, "labelFontWeight": 600, "title": None},
        "legend": {
            **text, **small, "labelColor": ink, "orient": "top", "title": None, "columns": 0, "symbolSize": 60,
            "labelLimit": 320, "columnPadding": 16, "symbolStrokeWidth": 1.5, "symbolOpacity": 1,
        },
        "text": {"font": FONT, "color": ink, "fontSize": 11},
        "line": {"strokeJoin": "round", "strokeCap": "round"},
    }  # fmt: skip

"""How figures look: one colour and marker per sampler everywhere, quiet axes, and SVG that a page can put inline.

Lines are drawn in colours after Okabe and Ito, which remain distinct for colour-blind readers; the page maps each to a
lighter one in dark mode by matching the attribute. It has no style attributes: a strict content policy allows it.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .lines import Line, lines

INK = "#1c2126"
COLOURS = {
    "#0072b2": "#4fb0ee", "#d55e00": "#ff8a3d", "#009e73": "#2fce9f", "#c4609a": "#ec93c6", "#b8860b": "#eebb3c",
    "#5a67d8": "#9aa5ff", "#6b6b6b": "#b9bec4", "#8c3b2e": "#e58a7b",
}  # fmt: skip
"""Each line colour on white paper, and the one that replaces it on a dark screen."""
MARKERS = "osD^vPXph*"
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (8, 3)), (0, (3, 1, 1, 1, 1, 1)))

STYLE: Any = {
    "font.size": 8.5, "axes.titlesize": 9, "axes.labelsize": 8.5, "axes.linewidth": 0.7, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": INK, "grid.alpha": 0.12, "grid.linewidth": 0.6,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "lines.linewidth": 1.6, "lines.markersize": 4.5,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "svg.fonttype": "none",
    "svg.hashsalt": "sigmabench", "text.parse_math": False, "legend.frameon": False, "axes.axisbelow": True,
}  # fmt: skip
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif"


class Look(NamedTuple):
    """How a line is drawn: colour and marker say the sampler, dashes its spacing and schedule."""

    colour: str
    marker: str
    dashes: object
    label: str


class Panel(NamedTuple):
    """One picture of a figure, with its heading."""

    title: str
    figure: Figure


def looks(results: pd.DataFrame) -> dict[Line, Look]:
    """The look of every line in the frame; pass the whole frame so that all figures agree."""
    named = lines(results)
    samplers = sorted({line.sampler for line in named})
    colours, seen, out = list(COLOURS), dict.fromkeys(samplers, 0), {}
    for line, label in named.items():
        i = samplers.index(line.sampler)
        turn = i + i // len(colours) * 3  # after a full round of colours the markers have moved on
        out[line] = Look(
            colours[i % len(colours)], MARKERS[turn % len(MARKERS)], DASHES[seen[line.sampler] % len(DASHES)], label
        )
        seen[line.sampler] += 1
    return out


@contextmanager
def axes(size: tuple[float, float] = (3.9, 3.1)) -> Iterator[Axes]:
    """Axes of a new figure in the house style; no global state is touched."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.add_subplot()


def settle(figure: Figure) -> None:
    """Arrange the figure for good, so that it is neither arranged again for each drawing nor moved afterwards."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")


def panel(title: str, ax: Axes) -> Panel:
    """The picture that these axes are."""
    return Panel(title, cast(Figure, ax.figure))


def message(ax: Axes, text: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", alpha=0.7)
    ax.set_xticks([])
    ax.set_yticks([])


def svg(figure: Figure, name: str, description: str) -> str:
    """Inline SVG for HTML: presentation attributes only, ids prefixed with the name, no metadata, no namespaces."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        settle(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in [c for c in parent if _local(c.tag) in ("metadata", "style")]:
            parent.remove(child)
    for element in root.iter():
        _plain(element, name)
        element.tail = None
        if element.tag != "text":
            element.text = None
    _hoist(root)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-label": description, "stroke-linejoin": "round", "font-family": FONTS}
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


INHERITED = ("fill", "stroke", "stroke-width", "stroke-opacity", "fill-opacity", "stroke-linecap", "font-size")


def _hoist(element: ET.Element) -> None:
    """Say once, on the group, what all its members inherit alike; groups that say nothing dissolve."""
    members: list[ET.Element] = []
    for child in list(element):
        _hoist(child)
        members += list(child) if child.tag == "g" and not child.attrib else [child]
    element[:] = [child for child in members if child.tag not in ("g", "defs") or len(child)]
    if element.tag != "g" or not len(element) or any(child.tag == "defs" for child in element):
        return
    for key in INHERITED:
        values = {child.get(key) for child in element}
        if len(values) == 1 and None not in values and key not in element.attrib:
            element.set(key, values.pop() or "")
            for child in element:
                del child.attrib[key]


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _plain(element: ET.Element, name: str) -> None:
    element.tag = _local(element.tag)
    attributes = {_local(key): value for key, value in element.attrib.items()}
    for declaration in filter(None, map(str.strip, attributes.pop("style", "").split(";"))):
        key, _, value = declaration.partition(":")
        attributes |= _font(value) if key.strip() == "font" else {key.strip(): value.strip()}
    attributes.pop("font-family", None)
    if "id" in attributes and element.tag == "g":
        del attributes["id"]
    if attributes.get("transform", "").startswith(("rotate(-0 ", "rotate(0 ")):
        del attributes["transform"]
    for key, value in attributes.items():
        attributes[key] = value = _brief(value) if key in BRIEF else value
        if key == "id":
            attributes[key] = f"{name}-{value}"
        elif value.startswith("#") and key == "href":
            attributes[key] = f"#{name}-{value[1:]}"
        elif value.startswith("url(#"):
            attributes[key] = f"url(#{name}-{value[5:]}"
    element.attrib.clear()
    element.attrib.update(attributes)


BRIEF = ("d", "x", "y", "transform", "width", "height", "points")


def _brief(value: str) -> str:
    """Coordinates to a hundredth of a point, without needless spaces."""
    rounded = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
    return re.sub(r"\s+", " ", rounded).strip()


def _font(value: str) -> dict[str, str]:
    """The shorthand some versions write, as attributes."""
    size = re.search(r"([\d.]+)px", value)
    weight = re.search(r"\b(bold|[1-9]00)\b", value.split("px")[0])
    return ({"font-size": f"{size[1]}px"} if size else {}) | ({"font-weight": weight[1]} if weight else {})

"""The page of ``sigmabench explore``: one self-contained HTML file, with sliders, that works offline."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from . import atomic
from .charts.theme import config
from .exploration_charts import charts
from .self_contained import json_data, library, policy


def write_exploration(path: Path, found: Mapping[str, Any]) -> Path:
    """Write the page of what ``eval.explore`` found."""
    page = render(found)
    return atomic.replace(path, lambda part: part.write_text(page, encoding="utf-8"))


def render(found: Mapping[str, Any]) -> str:
    """The page as HTML; every text in it is escaped, its data are JSON in script elements that are not run."""
    import jinja2

    templates = Path(__file__).with_name("templates")
    report, style, script = (
        Markup((templates / name).read_text(encoding="utf-8")) for name in ("page.css", "explore.css", "explore.js")
    )
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(templates), autoescape=True, trim_blocks=True)
    start = _start(found)
    drawn = {name: chart.to_dict() for name, chart in charts(start["spacings"]).items()}
    looks = {theme: config(theme) for theme in ("light", "dark")}
    return environment.get_template("explore.html").render(
        found=found, start=start, data=json_data({**_data(found), "charts": drawn, "looks": looks}),
        library=library(), script=script, style=report + style, policy=policy(library(), script),
    )  # fmt: skip


def _start(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's choices offer, and what is chosen at first: the model's own."""
    by_spacing = next(iter(found["taken"].values()))
    counts = list(next(iter(by_spacing.values())))
    nearest = min(counts, key=lambda count: abs(count - found["steps"]))
    return {"spacings": list(by_spacing), "counts": counts, "count": counts.index(nearest)}


def _data(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script reads; images become strips, one file a row of frames."""
    methods = dict.fromkeys(end["method"] for end in found["scales"])
    return {
        **{name: found[name] for name in ("curves", "taken", "schedule", "guidance", "steps")},
        "forward": {**found["forward"], "x": strip(found["forward"]["x"])},
        "walks": [{**walk, "x": strip(walk["x"]), "x0": strip(walk["x0"])} for walk in found["walks"]],
        "scales": [_of_method(name, [end for end in found["scales"] if end["method"] == name]) for name in methods],
    }


def _of_method(name: str, ends: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    images = strip(np.stack([end["image"] for end in ends]))
    return {"method": name, "scales": [end["scale"] for end in ends], "x": images}


def strip(frames: np.ndarray) -> dict[str, Any]:
    """uint8 (n, 3, H, W) to one lossless WebP, frames in rows of ``columns``, as a data URI with its sizes."""
    from PIL import Image

    count, _, height, width = frames.shape
    columns = math.ceil(math.sqrt(count))
    sheet = np.zeros((-(-count // columns) * height, columns * width, 3), np.uint8)
    for i, frame in enumerate(frames):
        top, left = i // columns * height, i % columns * width
        sheet[top : top + height, left : left + width] = frame.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "webp", lossless=True, method=4)
    uri = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"uri": uri, "count": count, "columns": columns, "width": width, "height": height}

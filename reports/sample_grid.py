"""The grid of samples: a row per cell, a column per prompt and seed, the same in every row.

Small images are embedded as they are and enlarged by the page without smoothing; large ones are reduced first.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from .lines import guidance_text, guidances, line_of, lines, on, setting, steps_text
from .numbers import with_interval
from .results import GIVEN, cells, measured

if TYPE_CHECKING:
    import numpy as np

LARGEST = 144
"""Pixels on the longer side beyond which an image is reduced before it is embedded."""
SHOWN = 96
"""Pixels at which the page shows an image, at most."""
BUDGET = 1_000_000
"""Bytes of pictures in the view of every cell."""


class Picture(NamedTuple):
    """One image, ready for an <img>."""

    uri: str
    width: int
    height: int


class Row(NamedTuple):
    """The samples of one cell."""

    cell: str
    label: str
    note: str
    pictures: list[Picture]


class View(NamedTuple):
    """A grid that varies one thing."""

    title: str
    fixed: str
    rows: list[Row]


def picture(image: np.ndarray) -> Picture:
    """uint8 (3, H, W) to a data URI of a lossless WebP (PNG where Pillow lacks WebP), shown at about 96 pixels."""
    import numpy as np
    from PIL import Image, features

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"a sample is uint8 with shape (3, H, W), this one is {image.dtype} with shape {image.shape}")
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    if max(picture.size) > LARGEST:
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    kind, options = ("webp", {"lossless": True, "method": 4}) if features.check("webp") else ("png", {"optimize": True})
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    longer = max(picture.size)
    zoom = max(SHOWN // longer, 1) if longer <= SHOWN else SHOWN / longer
    uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(uri, round(picture.width * zoom), round(picture.height * zoom))


def views(results: pd.DataFrame, samples: Mapping[str, np.ndarray], cell: str | None, metric: str | None) -> list[View]:
    """Around one cell: the samplers at its steps and guidance, then its sampler over steps, then over guidance."""
    shown = cells(results)
    shown = shown[shown["cell"].isin([key for key, images in samples.items() if len(images)])]
    if shown.empty:
        return []
    chosen = shown[shown["cell"] == cell]
    centre = (chosen if len(chosen) else shown).iloc[0]
    named, notes = lines(results), _notes(results, metric)
    of_model = shown[shown["model"] == centre["model"]]
    same_line = on(of_model, line_of(centre))
    order = list(guidances(of_model))
    by_sampler = of_model[(of_model["steps"] == centre["steps"]) & (of_model["guidance"] == centre["guidance"])]
    by_steps = same_line[same_line["guidance"] == centre["guidance"]].sort_values("steps")
    by_guidance = same_line[same_line["steps"] == centre["steps"]]
    by_guidance = by_guidance.sort_values("guidance", key=lambda column: column.map(order.index))

    def rows(frame: pd.DataFrame, label: Callable[[pd.Series], str]) -> list[Row]:
        return [_row(cell, label(cell), notes, samples) for _, cell in frame.iterrows()]

    if centre["sampler"] == GIVEN:
        return [View("Samples", "images that were given", rows(of_model, setting))]
    name, count, guidance = named[line_of(centre)], steps_text(centre["steps"]), guidance_text(centre)
    by_name = sorted(rows(by_sampler, lambda cell: named[line_of(cell)]), key=lambda row: row.label)
    found = [
        View("Samplers", f"{count}, {guidance}", by_name),
        View("Steps", f"{name}, {guidance}", rows(by_steps, lambda cell: steps_text(cell["steps"]))),
        View("Guidance", f"{name}, {count}", rows(by_guidance, guidance_text)),
    ]
    several = [view for view in found if len(view.rows) > 1]
    return several or [View("Samples", setting(centre), found[0].rows)]


def every_cell(
    results: pd.DataFrame, samples: Mapping[str, np.ndarray], metric: str | None, budget: int = BUDGET
) -> tuple[list[Row], int]:
    """All cells with as many columns as fit into the budget of bytes, and how many cells did not even fit with one."""
    shown = cells(results)
    shown = shown[shown["cell"].isin([key for key, images in samples.items() if len(images)])]
    if shown.empty:
        return [], 0
    shown = shown.sort_values(["model", "guidance", "sampler", "spacing", "steps"], kind="stable")
    probe = [len(picture(samples[key][0]).uri) for key in shown["cell"].iloc[:: max(len(shown) // 8, 1)]]
    columns = max(int(budget / (len(shown) * sum(probe) / len(probe))), 1)
    rows: list[Row] = []
    notes, spent = _notes(results, metric), 0
    for _, cell in shown.iterrows():
        model = f"{cell['model']}: " if results["model"].nunique() > 1 else ""
        row = _row(cell, model + setting(cell, among=results), notes, samples, columns)
        spent += sum(len(item.uri) for item in row.pictures)
        if rows and spent > 1.25 * budget:
            break
        rows.append(row)
    return rows, len(shown) - len(rows)


def _notes(results: pd.DataFrame, metric: str | None) -> dict[str, str]:
    """The value of the metric by cell."""
    if metric is None:
        return {}
    rows = measured(results, metric)
    return {
        row.cell: f"{metric.split('/', 1)[0]} {with_interval(row.value, row.low, row.high)}"
        for row in rows[["cell", "value", "low", "high"]].itertuples()
    }


def _row(
    cell: pd.Series, label: str, notes: Mapping[str, str], samples: Mapping[str, np.ndarray], columns: int | None = None
) -> Row:
    pictures = [picture(image) for image in samples[cell["cell"]][:columns]]
    return Row(cell["cell"], label, notes.get(cell["cell"], ""), pictures)


def check(samples: Mapping[str, Sized], prompts: Sequence[str]) -> None:
    """Every cell shows the same prompts, or the columns of the grid would lie.

    Raises:
        ValueError: a cell has another number of images than there are prompts.
    """
    for key, images in samples.items():
        if len(images) not in (0, len(prompts)):
            raise ValueError(f"cell {key} has {len(images)} samples, but there are {len(prompts)} prompts")

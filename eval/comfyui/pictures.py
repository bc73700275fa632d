"""Pictures for ComfyUI: the grid of samples with labels, and the figure of a report."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    import pandas as pd

    from ..cells import Cell
    from ..plans import Plan

GAP, TEXT, MARGIN = 4, 16, 12


def image(picture: Image.Image) -> torch.Tensor:
    """ComfyUI's IMAGE, float32 (1, H, W, 3) from 0 to 1."""
    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)[None]


def grid(plan: Plan, samples: Mapping[str, np.ndarray]) -> torch.Tensor:
    """A row for each setting, labelled, and a column for each image, the same prompt and noise in all rows."""
    cells = [planned.cell for planned in plan.runnable if planned.cell.key in samples]
    labels = [_label(plan, cell) for cell in cells]
    height, width = samples[cells[0].key].shape[2:]
    count = min(len(samples[cell.key]) for cell in cells)
    font = ImageFont.load_default(TEXT)
    left = int(max(font.getlength(label) for label in labels)) + 2 * MARGIN
    sheet = Image.new("RGB", (left + count * (width + GAP), len(cells) * (height + GAP) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (cell, label) in enumerate(zip(cells, labels, strict=True)):
        top = GAP + i * (height + GAP)
        pen.text((left - MARGIN, top + height / 2), label, fill="#333", font=font, anchor="rm")
        for j, sample in enumerate(samples[cell.key][:count]):
            sheet.paste(
                Image.fromarray(np.ascontiguousarray(sample.transpose(1, 2, 0))), (left + j * (width + GAP), top)
            )
    return image(sheet)


def figure(results: pd.DataFrame) -> torch.Tensor:
    """The chart of the metric that decides against network evaluations, as the report draws it."""
    from ...reports.charts import png, quality
    from ...reports.metric_words import quality as decisive
    from ...reports.results import metrics

    known = results[results["value"].notna()]
    metric = decisive(known) or next(iter(metrics(known)), None)
    if metric is None:
        return _said("no metric has a value; see the report")
    return image(Image.open(io.BytesIO(png(quality(results, metric)))))


def _said(text: str) -> torch.Tensor:
    font = ImageFont.load_default(TEXT)
    sheet = Image.new("RGB", (int(font.getlength(text)) + 2 * MARGIN, TEXT + 2 * MARGIN), "white")
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), text, fill="#333", font=font)
    return image(sheet)


def _label(plan: Plan, cell: Cell) -> str:
    """What tells the row apart from the others."""
    sweep = plan.sweep
    axes: dict[str, Sequence[object]] = {
        "sampler": sweep.samplers, "spacing": sweep.spacings, "steps": sweep.steps, "guidance": sweep.guided(),
    }  # fmt: skip
    parts = [(name, getattr(cell, name)) for name, values in axes.items() if len(values) > 1 or name == "sampler"]
    return "  ".join(f"{value} steps" if name == "steps" else str(value) for name, value in parts)

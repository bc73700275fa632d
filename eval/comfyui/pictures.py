"""Pictures for ComfyUI: the grid of samples with labels, and the figure of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    import pandas as pd

    from ..cells import Cell
    from ..plans import Plan

GAP, TEXT, MARGIN = 4, 16, 12
STYLES = ("-", "--", ":", "-.")


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
    """The metric that decides against network evaluations: a colour for each sampler, a style for each guidance."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ...reports.metric_words import quality
    from ...reports.results import measured, metrics

    known = results[results["value"].notna()]
    metric = quality(known) or next(iter(metrics(known)), None)
    canvas = FigureCanvasAgg(Figure((8, 5), dpi=120, layout="constrained"))
    axes = canvas.figure.subplots()
    rows = measured(results, metric) if metric else results[:0]
    samplers, guidances = (list(dict.fromkeys(rows[name])) for name in ("sampler", "guidance"))
    for name, line in rows.groupby(["sampler", "spacing", "guidance"], sort=False):
        line = line.sort_values("nfe")
        spread = np.abs(np.stack([line["value"] - line["low"], line["high"] - line["value"]]))
        sampler, _, guidance = (str(part) for part in name)
        look: dict[str, Any] = {
            "color": f"C{samplers.index(sampler)}",
            "linestyle": STYLES[guidances.index(guidance) % len(STYLES)],
        }
        axes.errorbar(
            line["nfe"], line["value"], spread, marker="o", capsize=3, label=", ".join(map(str, name)), **look
        )
    axes.set_xlabel("network evaluations an image")
    axes.set_ylabel(metric or "no metric has a value; see the report")
    axes.grid(alpha=0.3)
    if len(rows):
        axes.legend(fontsize=8)
    canvas.draw()
    return image(Image.fromarray(np.asarray(canvas.buffer_rgba())))


def _label(plan: Plan, cell: Cell) -> str:
    """What tells the row apart from the others."""
    sweep = plan.sweep
    axes: dict[str, Sequence[object]] = {
        "sampler": sweep.samplers, "spacing": sweep.spacings, "steps": sweep.steps, "guidance": sweep.guided(),
    }  # fmt: skip
    parts = [(name, getattr(cell, name)) for name, values in axes.items() if len(values) > 1 or name == "sampler"]
    return "  ".join(f"{value} steps" if name == "steps" else str(value) for name, value in parts)

"""One picture of a sweep, to paste anywhere: the recommended setting's samples, a row for each number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from . import atomic
from .answer import answers
from .lines import line_of, on, steps_text
from .results import cells

if TYPE_CHECKING:
    import numpy as np

COLUMNS, TILE, GAP, LABEL, TEXT = 10, 64, 2, 72, 14


def write_contact_sheet(folder: Path, results: pd.DataFrame, samples: Mapping[str, np.ndarray]) -> Path | None:
    """Write samples.png into the folder: columns are the first prompts and seeds, the same in each row.

    Returns its path, or None where no cell has samples.
    """
    rows = _rows(results, samples)
    if not rows:
        return None
    sheet = draw(rows)
    return atomic.replace(folder / "samples.png", lambda part: sheet.save(part, "png", optimize=True))


def draw(rows: Mapping[str, np.ndarray]) -> Image.Image:
    """Images uint8 (k, 3, H, W) by label, enlarged without smoothing or reduced to tiles of 64 pixels."""
    count = min(COLUMNS, *(len(images) for images in rows.values()))
    sheet = Image.new("RGB", (LABEL + count * (TILE + GAP), len(rows) * (TILE + GAP) + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for i, (label, images) in enumerate(rows.items()):
        top = GAP + i * (TILE + GAP)
        pen.text((LABEL - 8, top + TILE / 2), label, fill="#333", font=font, anchor="rm")
        for j, image in enumerate(images[:count]):
            tile = Image.fromarray(image.transpose(1, 2, 0).copy())
            how = Image.Resampling.NEAREST if tile.width <= TILE else Image.Resampling.LANCZOS
            sheet.paste(tile.resize((TILE, TILE), how), (LABEL + j * (TILE + GAP), top))
    return sheet


def _rows(results: pd.DataFrame, samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    shown = cells(results)
    shown = shown[shown["cell"].isin([key for key, images in samples.items() if len(images)])]
    if shown.empty:
        return {}
    picks = [answer.cell for answer in answers(results) if answer.cell is not None]
    picked = shown[shown["cell"].isin(picks)]
    centre = (picked if len(picked) else shown).iloc[0]
    same = on(shown[shown["model"] == centre["model"]], line_of(centre))
    same = same[same["guidance"] == centre["guidance"]].sort_values("steps")
    return {steps_text(row["steps"]): samples[row["cell"]] for _, row in same.iterrows()}

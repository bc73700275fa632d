"""Samples as one picture a cell: its images side by side, WebP, as large as a page of reasonable size allows.

Small images of small sweeps are kept to the bit; for more or larger ones the page first loses quality that nobody sees,
then pixels, then columns.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence, Sized
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

BUDGET = 4_500_000
"""Bytes of pictures in a page, as base64."""
FORMS = ((192, None), (192, 90), (144, 80), (96, 75), (64, 70))
"""Longer side at most, and quality; None is lossless."""
PROBES = 6


class Sprites(NamedTuple):
    """A picture of ``columns`` tiles, each width x height, by cell, as a data URI."""

    uris: dict[str, str]
    width: int
    height: int
    columns: int


def sprites(samples: Mapping[str, np.ndarray], budget: int = BUDGET) -> Sprites:
    """Images uint8 (k, 3, H, W) by cell, in the first form of which all cells are likely to fit into the budget."""
    shown = {cell: images for cell, images in samples.items() if len(images)}
    if not shown:
        return Sprites({}, 0, 0, 0)
    for images in shown.values():
        _check(images)
    most = min(len(images) for images in shown.values())
    probes = list(shown.values())[:: max(len(shown) // PROBES, 1)]
    counts = list(dict.fromkeys([most, *(count for count in (6, 4, 2, 1) if count < most)]))
    for columns, (side, quality) in product(counts, FORMS):
        spent = sum(len(_uri(_sprite(images[:columns], side), quality)) for images in probes) / len(probes)
        if spent * len(shown) <= budget:
            break
    uris = {cell: _uri(_sprite(images[:columns], side), quality) for cell, images in shown.items()}
    width, height = _size(next(iter(shown.values())), side)
    return Sprites(uris, width, height, columns)


def _check(images: np.ndarray) -> None:
    if images.dtype.name != "uint8" or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"samples are uint8 with shape (k, 3, H, W), these are {images.dtype}, {images.shape}")


def _size(images: np.ndarray, side: int) -> tuple[int, int]:
    height, width = images.shape[2:]
    scale = min(side / max(height, width), 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _sprite(images: np.ndarray, side: int) -> Image.Image:
    import numpy as np
    from PIL import Image

    size = _size(images, side)
    sheet = Image.new("RGB", (size[0] * len(images), size[1]))
    for i, image in enumerate(images):
        tile = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        sheet.paste(tile if tile.size == size else tile.resize(size, Image.Resampling.LANCZOS), (i * size[0], 0))
    return sheet


def _uri(sheet: Image.Image, quality: int | None) -> str:
    buffer = io.BytesIO()
    if quality is None:
        sheet.save(buffer, "webp", lossless=True, method=4)
    else:
        sheet.save(buffer, "webp", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def check(samples: Mapping[str, Sized], prompts: Sequence[str]) -> None:
    """Every cell shows the same prompts, or the columns of the page would lie.

    Raises:
        ValueError: a cell has another number of images than there are prompts.
    """
    for key, images in samples.items():
        if len(images) not in (0, len(prompts)):
            raise ValueError(f"cell {key} has {len(images)} samples, but there are {len(prompts)} prompts")

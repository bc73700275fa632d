"""The image tables: parquet files of JPEG-coded 32x32 photographs with a class label.

Columns: `image` (binary, one JPEG file), `label` (uint8). Rows interleave the classes, so a prefix is balanced.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch


class Images(NamedTuple):
    """`pixels` uint8 (N, 3, 32, 32) in RGB order and `labels` int64 (N,)."""

    pixels: torch.Tensor
    labels: torch.Tensor

    def to(self, device: torch.device | str) -> Images:
        """The same table on `device`: 154 MB for 50,000 images, so a GPU holds all of it."""
        return Images(self.pixels.to(device), self.labels.to(device))


def decode_jpeg(data: bytes) -> torch.Tensor:
    """One JPEG file -> uint8 (3, H, W)."""
    import numpy as np
    from PIL import Image

    return torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB"))).permute(2, 0, 1)


def read_images(path: str | Path, *, limit: int | None = None) -> Images:
    """Decode the first `limit` rows (all by default) of a parquet table."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)[:limit]
    with ThreadPoolExecutor() as pool:
        pixels = list(pool.map(decode_jpeg, table.column("image").to_pylist(), chunksize=500))
    return Images(torch.stack(pixels).contiguous(), torch.tensor(table.column("label").to_pylist()))


def mean_luminance(pixels: torch.Tensor) -> torch.Tensor:
    """Rec. 601 luma of the gamma-coded values, averaged over each image: uint8 (B, 3, H, W) -> float32 (B,) in 0..1.

    Y = 0.299 R + 0.587 G + 0.114 B, the luma that JPEG itself codes.
    """
    means = pixels.float().mean(dim=(2, 3)) / 255
    return means @ torch.tensor([0.299, 0.587, 0.114], device=pixels.device)

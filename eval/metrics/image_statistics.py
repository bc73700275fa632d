"""Statistics of a set of images, computed once and kept under the hash of its images and of the extractor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...reports.atomic import replace
from .gaussian import Moments
from .observations import on_the_host
from .pictures import Pictures

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 10_000  # feature rows kept for kernel distances
BATCH = 100


def image_statistics(pictures: Pictures, observation: str, features: str, device: str, cache: Path) -> Path:
    """A safetensors file with mean, cov and features of all of them.

    Raises:
        ValueError: for an unreadable image, or another extractor than that of the observation.
    """
    digest = hashlib.sha256(observation.encode())
    for part in pictures.digests():
        digest.update(part)
    path = cache / "reference" / f"{digest.hexdigest()[:16]}.safetensors"
    if not path.is_file():
        _compute(pictures, observation, features, device, path)
    return path


def _compute(pictures: Pictures, observation: str, features: str, device: str, path: Path) -> None:
    from safetensors.numpy import save

    from .features import load_extractor

    observer = load_extractor(features, device)
    if observer.name != observation:
        raise ValueError(
            f"the images were observed as {observation!r}, but the extractor is now {observer.name!r}; run the sweep "
            "again, or use the version of the weights that made it"
        )
    keep = np.linspace(0, len(pictures) - 1, min(KEPT, len(pictures))).astype(int)
    moments, kept = Moments(), []
    for batch in _batches(pictures):
        rows = on_the_host(observer(batch, [""] * len(batch)))
        kept.append(rows[keep[(keep >= moments.n) & (keep < moments.n + len(rows))] - moments.n])
        moments.add(rows)
    metadata = {
        "extractor": observation.split("/")[1],
        "n": str(moments.n),
        "encodings": ", ".join(f"{count} {kind}" for kind, count in sorted(pictures.encodings().items())),
    }
    arrays = {"mean": moments.mean, "cov": moments.cov, "features": np.concatenate(kept)}
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=metadata)
    replace(path, lambda part: part.write_bytes(data))


def _batches(pictures: Pictures) -> Iterator[Tensor]:
    """uint8 (B, 3, H, W) in order, a new batch whenever the size changes."""
    import torch

    batch: list[Tensor] = []
    for picture in pictures:
        image = torch.from_numpy(picture).permute(2, 0, 1)
        if batch and (len(batch) == BATCH or image.shape != batch[0].shape):
            yield torch.stack(batch)
            batch = []
        batch.append(image)
    yield torch.stack(batch)

"""Statistics of a folder of images, computed once and kept under the hash of its images and of the extractor."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .gaussian import Moments

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
KEPT = 10_000  # feature rows kept for kernel distances
BATCH = 100


def folder_statistics(folder: Path, observation: str, features: str, device: str, cache: Path) -> Path:
    """A safetensors file with mean, cov and features of all images below ``folder``, in the order of their paths.

    Raises:
        ValueError: for fewer than two images, an unreadable one, or another extractor than that of the observation.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        suffixes = ", ".join(SUFFIXES)
        raise ValueError(f"reference folder {folder} has {len(files)} images ({suffixes}); at least 2 are needed")
    digest = hashlib.sha256(observation.encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    path = cache / "reference" / f"{digest.hexdigest()[:16]}.safetensors"
    if not path.is_file():
        _compute(files, observation, features, device, path)
    return path


def _compute(files: Sequence[Path], observation: str, features: str, device: str, path: Path) -> None:
    from safetensors.numpy import save

    from .features import load_extractor

    observer = load_extractor(features, device)
    if observer.name != observation:
        raise ValueError(
            f"the images were observed as {observation!r}, but the extractor is now {observer.name!r}; run the sweep "
            "again, or use the version of the weights that made it"
        )
    keep = np.linspace(0, len(files) - 1, min(KEPT, len(files))).astype(int)
    moments, kept = Moments(), []
    for batch in _batches(files):
        rows = observer(batch, [""] * len(batch))
        kept.append(rows[keep[(keep >= moments.n) & (keep < moments.n + len(rows))] - moments.n])
        moments.add(rows)
    kinds = Counter(file.suffix.lower().lstrip(".") for file in files)
    metadata = {
        "extractor": observation.split("/")[1],
        "n": str(moments.n),
        "encodings": ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())),
    }
    arrays = {"mean": moments.mean, "cov": moments.cov, "features": np.concatenate(kept)}
    _publish(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=metadata))


def _batches(files: Sequence[Path]) -> Iterator[Tensor]:
    """uint8 (B, 3, H, W) of files in order, a new batch whenever the size changes."""
    import torch

    batch: list[Tensor] = []
    for file in files:
        image = torch.from_numpy(_pixels(file)).permute(2, 0, 1)
        if batch and (len(batch) == BATCH or image.shape != batch[0].shape):
            yield torch.stack(batch)
            batch = []
        batch.append(image)
    yield torch.stack(batch)


def _pixels(file: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"reference image {file} cannot be read ({error}); repair or remove it") from error


def _publish(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).replace(path)

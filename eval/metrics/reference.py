"""What images are compared with: statistics that come with the package, a folder of images, or an .npz file.

    "embedded"         50,000 training images of the embedded models, in the features of an embedded network
    "/path/to/folder"  images (png, jpg, webp, bmp, tif), looked at once and cached by their content
    "/path/stats.npz"  ``mu`` (d,) and ``sigma`` (d, d) as clean-fid and others write them; optional ``features`` (n, d)

Cached and embedded statistics are safetensors files: ``mean`` and ``cov`` in float64, ``features`` of at most 10,000
evenly spaced images for kernel distances, and metadata.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .cache import cache_folder
from .gaussian import Moments, root
from .towers import EMBEDDED

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
KEPT = 10_000  # feature rows kept for kernel distances
BATCH = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Moments (and perhaps feature rows) of the images that a set is compared with."""

    id: str
    """With a hash of the content: "embedded-1f0c22ab", "folder-...", "npz-..."."""
    mean: np.ndarray
    cov: np.ndarray
    n: int | None
    """Number of images; None where the file does not say."""
    path: Path
    card: dict[str, Any] = dataclasses.field(default_factory=dict)

    @cached_property
    def root(self) -> np.ndarray:
        """Symmetric square root of ``cov``, computed once."""
        return root(self.cov)

    def features(self) -> np.ndarray:
        """float32 (m, d) rows for kernel distances.

        Raises:
            ValueError: if only moments are known.
        """
        arrays, _ = _read(self.path)
        for name in ("features", "feats"):
            if name in arrays:
                return np.asarray(arrays[name], dtype=np.float32)
        raise ValueError(
            f"reference {self.id} has moments but no feature rows, which a kernel distance needs; use reference="
            "'<folder of images>', an .npz with 'features', or the metric fd"
        )


@lru_cache(maxsize=4)
def load_reference(
    source: str, observation: str, extractor: str, model: str = EMBEDDED, device: str = "cpu", cache: Path | None = None
) -> Reference:
    """The reference that goes with an observation such as "features/cifarnet-3f2a91bc/bicubic-aa".

    A folder is read once per process, and passed through the extractor once per machine.

    Raises:
        FileNotFoundError: for a missing file or folder.
        ValueError: for statistics of other features, unreadable or too few images; names them and the remedy.
    """
    if source == EMBEDDED:
        return _embedded(observation)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path, observation, extractor, model, device, cache or cache_folder())
    if path.is_file() and path.suffix == ".npz":
        return _npz(path, observation)
    problem = "is not an .npz file or a folder" if path.exists() else "does not exist"
    raise FileNotFoundError(f"reference {source!r} {problem}: must be 'embedded', a folder of images or an .npz file")


def _embedded(observation: str) -> Reference:
    from ..embedded.weights_files import WEIGHTS

    found = {}
    for path in sorted((WEIGHTS / "reference").glob("*.safetensors")):
        _, metadata = _read(path)
        found[metadata.get("extractor", "")] = path
    features = observation.split("/")[1]
    if features not in found:
        there = ", ".join(sorted(found)) or "none"
        raise ValueError(
            f"there are no embedded statistics of features {features!r}, only of {there}; statistics of other features "
            "cannot be compared. Use reference='<folder of images>' or an .npz made with these features."
        )
    return _open(found[features], "embedded", observation)


def _folder(path: Path, observation: str, extractor: str, model: str, device: str, cache: Path) -> Reference:
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        raise ValueError(
            f"reference folder {path} has {len(files)} images ({', '.join(SUFFIXES)}); at least 2 are needed"
        )
    digest = hashlib.sha256(observation.encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    stored = cache / "reference" / f"{digest.hexdigest()[:16]}.safetensors"
    if not stored.is_file():
        _compute(files, observation, extractor, model, device, stored)
    return _open(stored, "folder", observation)


def _compute(files: Sequence[Path], observation: str, extractor: str, model: str, device: str, stored: Path) -> None:
    from safetensors.numpy import save

    from .features import load_extractor

    observer = load_extractor(extractor, model, device)
    if observer.name != observation:
        raise ValueError(
            f"the images were observed as {observation!r}, but the extractor is now {observer.name!r}; run the sweep "
            "again, or use the version of the weights that made it"
        )
    keep = set(np.linspace(0, len(files) - 1, min(KEPT, len(files))).astype(int).tolist())
    moments, kept, start = Moments(), [], 0
    for batch in _batches(files):
        block = observer(batch, [""] * len(batch))
        moments.add(block)
        kept.append(block[[i in keep for i in range(start, start + len(block))]])
        start += len(block)
    encodings = Counter(file.suffix.lower().lstrip(".") for file in files)
    metadata = {
        "extractor": observation.split("/")[1],
        "observation": observation,
        "n": str(moments.n),
        "encodings": ", ".join(f"{count} {kind}" for kind, count in sorted(encodings.items())),
    }
    arrays = {"mean": moments.mean, "cov": moments.cov, "features": np.concatenate(kept)}
    _publish(stored, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, metadata=metadata))


def _batches(files: Sequence[Path]) -> Iterator[Any]:
    """uint8 (B, 3, H, W) of files in order, a new batch whenever the size changes."""
    import torch

    batch: list[Any] = []
    for file in files:
        image = torch.from_numpy(_pixels(file)).permute(2, 0, 1)
        if batch and (len(batch) == BATCH or image.shape != batch[0].shape):
            yield torch.stack(batch)
            batch = []
        batch.append(image)
    yield torch.stack(batch)


def _pixels(file: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return np.array(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise ValueError(f"reference image {file} cannot be read ({error}); repair or remove it") from error


def _npz(path: Path, observation: str) -> Reference:
    arrays, _ = _read(path)
    names = ("mu", "sigma")
    if any(name not in arrays for name in names):
        raise ValueError(f"reference {path} has {', '.join(arrays)}: must have mu (d,) and sigma (d, d)")
    mean, cov = (np.asarray(arrays[name], dtype=np.float64) for name in names)
    if mean.ndim != 1 or cov.shape != mean.shape * 2 or not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise ValueError(f"reference {path}: mu {mean.shape} and sigma {cov.shape} must be finite (d,) and (d, d)")
    made_by = str(arrays["extractor"]) if "extractor" in arrays else ""
    if made_by and made_by not in observation:
        raise ValueError(
            f"reference {path} was made with {made_by!r}, the images with {observation!r}; use one of both"
        )
    n = int(arrays["n"]) if "n" in arrays else None
    card = {"reference_extractor": made_by or "not recorded in the file"}
    return Reference(f"npz-{_hash(path)}", mean, cov, n, path, card)


def _open(path: Path, kind: str, observation: str) -> Reference:
    arrays, metadata = _read(path)
    n = int(metadata["n"]) if "n" in metadata else None
    card = {k: v for k, v in metadata.items() if k not in ("n", "observation", "format")}
    return Reference(f"{kind}-{_hash(path)}", arrays["mean"], arrays["cov"], n, path, {"reference_card": card})


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}, {}
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def _publish(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).replace(path)

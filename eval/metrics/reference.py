"""What images are compared with: statistics that come with the package, a folder of images, or an .npz file.

    "embedded"         the 50,000 training images of the embedded models, in the features of the embedded network
    "embedded-test"    the 10,000 images they were not trained on; moments only
    "/path/to/folder"  images, looked at once and cached by their content
    "/path/stats.npz"  ``mu`` (d,) and ``sigma`` (d, d) as clean-fid and others write them; optional ``features`` (n, d)

Embedded and cached statistics are safetensors files: ``mean`` and ``cov`` in float64, perhaps ``features`` of some
evenly spaced images, and metadata with the extractor's name and the number of images.
"""

from __future__ import annotations

import dataclasses
import hashlib
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import cache_folder
from .folder import folder_statistics
from .gaussian import root
from .towers import EMBEDDED

SHIPPED = {EMBEDDED: "train", f"{EMBEDDED}-test": "test"}


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
            "'embedded' or '<folder of images>', an .npz with 'features', or the metric fd"
        )


@lru_cache(maxsize=4)
def load_reference(
    source: str, observation: str, features: str, device: str = "cpu", cache: Path | None = None
) -> Reference:
    """The reference that goes with an observation such as "features/cifarnet-3f2a91bc/bicubic-aa".

    A folder is read once per process, and passed through the extractor once per machine.

    Raises:
        FileNotFoundError: for a missing file or folder.
        ValueError: for statistics of other features, unreadable or too few images; names them and the remedy.
    """
    if source in SHIPPED:
        return _embedded(source, observation)
    path = Path(source).expanduser()
    if path.is_dir():
        statistics = folder_statistics(path, observation, features, device, cache or cache_folder())
        return _statistics(statistics, "folder")
    if path.is_file() and path.suffix == ".npz":
        return _npz(path, observation)
    problem = "is not an .npz file or a folder" if path.exists() else "does not exist"
    legal = ", ".join(map(repr, SHIPPED))
    raise FileNotFoundError(f"reference {source!r} {problem}: must be {legal}, a folder of images or an .npz file")


def _embedded(source: str, observation: str) -> Reference:
    from ..embedded.weights_files import WEIGHTS

    path = WEIGHTS / "reference" / f"{SHIPPED[source]}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; reinstall the package, or use reference='<folder of images>'")
    _, metadata = _read(path)
    if metadata.get("extractor") != observation.split("/")[1]:
        raise ValueError(
            f"reference {source!r} has features of {metadata.get('extractor')}, the images those of {observation!r}: "
            "they cannot be compared. Use reference='<folder of images>' or an .npz made with the images' extractor."
        )
    return _statistics(path, source)


def _statistics(path: Path, kind: str) -> Reference:
    arrays, metadata = _read(path)
    n = int(metadata["n"]) if "n" in metadata else None
    card = {key: value for key, value in metadata.items() if key != "n"}
    return Reference(f"{kind}-{_hash(path)}", arrays["mean"], arrays["cov"], n, path, {"reference_card": card})


def _npz(path: Path, observation: str) -> Reference:
    arrays, _ = _read(path)
    if "mu" not in arrays or "sigma" not in arrays:
        raise ValueError(f"reference {path} has {', '.join(arrays)}: must have mu (d,) and sigma (d, d)")
    mean, cov = (np.asarray(arrays[name], dtype=np.float64) for name in ("mu", "sigma"))
    if mean.ndim != 1 or cov.shape != mean.shape * 2 or not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise ValueError(f"reference {path}: mu {mean.shape} and sigma {cov.shape} must be finite (d,) and (d, d)")
    made_by = str(arrays["extractor"]) if "extractor" in arrays else ""
    if made_by not in observation:
        raise ValueError(
            f"reference {path} was made with {made_by!r}, the images with {observation!r}; use one of both"
        )
    n = int(arrays["n"]) if "n" in arrays else None
    card = {"reference_card": {"extractor": made_by or "not recorded in the file"}}
    return Reference(f"npz-{_hash(path)}", mean, cov, n, path, card)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}, {}
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]

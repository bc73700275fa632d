"""Files of statistics: this package's, the common .npz, and those of clean-fid, each checked against the features."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .gaussian import Factor, factor
from .named_statistics import PREFIX, named_statistics
from .towers import EMBEDDED

SHIPPED = {EMBEDDED: "train", f"{EMBEDDED}-test": "test"}
ROWS = ("features", "feats")
"""What feature rows are called in files, ours and clean-fid's."""


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
    rows: Callable[[], Path] | None = None
    """Finds the file with feature rows, where that is another one."""

    @cached_property
    def factor(self) -> Factor:
        """Of ``cov``, computed once."""
        return factor(self.cov)

    def features(self) -> np.ndarray:
        """float32 (m, d) rows for kernel distances.

        Raises:
            ValueError: if only moments are known.
            OSError: if their file is nowhere to be found.
        """
        found = _rows(_read(self.rows() if self.rows else self.path)[0])
        if found is None:
            raise ValueError(
                f"reference {self.id} has moments but no feature rows, which a kernel distance needs; use reference="
                "'embedded' or '<folder of images>', an .npz with 'features', or the metric fd"
            )
        return np.asarray(found, dtype=np.float32)


def embedded(source: str, observation: str) -> Reference:
    """One that comes with the package."""
    from ..embedded.weights_files import WEIGHTS

    path = WEIGHTS / "reference" / f"{SHIPPED[source]}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; reinstall the package, or use reference='<folder of images>'")
    return own(path, observation, source)


def own(path: Path, observation: str, name: str) -> Reference:
    """A file that this package wrote, if it is of the same features."""
    arrays, metadata = _read(path)
    if metadata.get("extractor") != observation.split("/")[1] or not {"mean", "cov"} <= arrays.keys():
        raise ValueError(
            f"reference {name!r} has features of {metadata.get('extractor')}, the images those of {observation!r}: "
            "they cannot be compared. Use reference='<folder of images>' or an .npz made with the images' extractor."
        )
    return statistics(path, name)


def named(source: str, observation: str) -> Reference:
    """One that clean-fid publishes."""
    found = npz(named_statistics(source, observation), observation)
    card = {"reference_card": {"extractor": "clean-fid's Inception, mode clean", "name": source}}
    name = source.removeprefix(PREFIX).replace("/", "-")
    return dataclasses.replace(
        found, id=f"cleanfid-{name}-{_hash(found.path)}", card=card,
        rows=lambda: named_statistics(source, observation, rows=True),
    )  # fmt: skip


def statistics(path: Path, kind: str) -> Reference:
    """A file that this package wrote, of whatever features."""
    arrays, metadata = _read(path)
    n = int(metadata["n"]) if "n" in metadata else None
    card = {key: value for key, value in metadata.items() if key != "n"}
    return Reference(f"{kind}-{_hash(path)}", arrays["mean"], arrays["cov"], n, path, {"reference_card": card})


def npz(path: Path, observation: str) -> Reference:
    """Moments, or rows that they are taken from.

    Raises:
        ValueError: for a file without either, of other features if it says so, or with numbers that are not finite.
    """
    arrays, _ = _read(path)
    features = _rows(arrays)
    if "mu" in arrays and "sigma" in arrays:
        mean, cov = (np.asarray(arrays[name], dtype=np.float64) for name in ("mu", "sigma"))
    elif features is not None and features.ndim == 2 and len(features) > 1:
        mean, cov = features.mean(axis=0, dtype=np.float64), np.atleast_2d(np.cov(features.T, dtype=np.float64))
    else:
        raise ValueError(
            f"reference {path} has {', '.join(arrays)}: must have mu (d,) and sigma (d, d), or features (n, d)"
        )
    if mean.ndim != 1 or cov.shape != mean.shape * 2 or not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise ValueError(f"reference {path}: mu {mean.shape} and sigma {cov.shape} must be finite (d,) and (d, d)")
    made_by = str(arrays["extractor"]) if "extractor" in arrays else ""
    if made_by not in observation:
        raise ValueError(
            f"reference {path} was made with {made_by!r}, the images with {observation!r}; use one of both"
        )
    n = int(arrays["n"]) if "n" in arrays else None if features is None or "mu" in arrays else len(features)
    card = {"reference_card": {"extractor": made_by or "not recorded in the file"}}
    return Reference(f"npz-{_hash(path)}", mean, cov, n, path, card)


def _rows(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    return next((arrays[name] for name in ROWS if name in arrays), None)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}, {}
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]

"""Kernel distance: the unbiased squared MMD with a cubic kernel over all pairs, with its standard error.

    k(x, y) = (x'y / d + 1)^3,   MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j)

With Inception features it is KID. It has no bias, so that values of different n compare, and can be negative. The usual
"+-" is the spread over random subsets, which is neither the error of the value nor its repeatability; here it is the
standard error by the Hajek projection f_i = 2 (mean_j k(x_i, x_j) - mean_j k(x_i, y_j)). Binkowski et al. 2018,
arXiv:1801.01401.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import setting, settings
from .estimate import estimate
from .features import EXTRACTORS, load_extractor, stem
from .observations import find, rows
from .reference import Reference, load_reference
from .towers import EMBEDDED

if TYPE_CHECKING:
    from ..protocols import Observations, Observer, Value

BLOCK = 8_000_000  # numbers held at a time: with 256 features, 31,250 images


@settings
class KernelDistance:
    """Unbiased squared MMD with the kernel (x'y/d + 1)^3, all pairs. Binkowski et al. 2018, arXiv:1801.01401."""

    higher_is_better: ClassVar[bool | None] = False
    minimum: ClassVar[int] = 2

    extractor: str = setting("cifarnet", choices=EXTRACTORS, help="the feature space; inception gives KID")
    reference: str = setting(EMBEDDED, help="embedded, a folder of images, or an .npz with mu, sigma and features")
    model: str = setting(EMBEDDED, help="image-text model of extractor clip, such as ViT-B-32/laion2b_s34b_b79k")

    def observers(self, device: str) -> Sequence[Observer]:
        observer = load_extractor(self.extractor, self.model, device)
        load_reference(self.reference, observer.name, self.extractor, self.model, device).features()
        return [observer]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name = find(shards, stem(self.extractor, self.model))
        return kernel_distance(shards, name, load_reference(self.reference, name, self.extractor, self.model))


def kernel_distance(shards: Iterable[Observations], name: str, reference: Reference) -> Value:
    """The distance of observed features ``name`` to the feature rows of a reference.

    Raises:
        ValueError: for fewer than two images, a reference without rows or of another dimension.
    """
    real = reference.features()
    near, far = [], []  # mean kernel of each image to the other images, to the reference
    n = sum(len(block) for block in rows(shards, name))
    if n < 2:
        raise ValueError(f"the kernel distance needs at least 2 images, there are {n}")
    for block in _blocks(rows(shards, name)):
        if block.shape[1] != real.shape[1]:
            raise ValueError(
                f"{name} has {block.shape[1]} features, reference {reference.id} has {real.shape[1]}; use a reference "
                "made with the same extractor"
            )
        own = sum(_row_sums(block, other) for other in rows(shards, name)) - _diagonal(block)
        near.append(own / (n - 1))
        far.append(_row_sums(block, real) / len(real))
    within, across = np.concatenate(near), np.concatenate(far)
    value = within.mean() + _within(reference) - 2 * across.mean()
    card = {
        "metric": "kid" if name.startswith("features/inception") else "kd",
        "extractor": name.removeprefix("features/"),
        "dimension": real.shape[1],
        "kernel": "(x'y/d + 1)^3, unbiased, all pairs",
        "reference": reference.id,
        "reference_rows": len(real),
        "standard_error": "over images, the reference taken as fixed",
        **reference.card,
    }
    return estimate(float(value), 2 * (within - across), card)


@lru_cache(maxsize=4)
def _within(reference: Reference) -> float:
    """Mean kernel between two different images of the reference."""
    real = reference.features()
    total = _row_sums(real, real).sum() - _diagonal(real).sum()
    return float(total / (len(real) * (len(real) - 1)))


def _row_sums(x: np.ndarray, y: np.ndarray, chunk: int = 512) -> np.ndarray:
    """sum_j k(x_i, y_j) for each i, in float64."""
    y = np.asarray(y, dtype=np.float64).T / x.shape[1]
    parts = []
    for start in range(0, len(x), chunk):
        base = np.asarray(x[start : start + chunk], dtype=np.float64) @ y + 1
        parts.append((base * base * base).sum(axis=1))
    return np.concatenate(parts)


def _diagonal(x: np.ndarray) -> np.ndarray:
    return ((np.asarray(x, dtype=np.float64) ** 2).sum(axis=1) / x.shape[1] + 1) ** 3


def _blocks(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Rows in blocks of about BLOCK numbers, as float32, so that few passes over the shards are made."""
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part.astype(np.float32))
        if sum(block.size for block in held) >= BLOCK:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)

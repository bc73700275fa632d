"""Kernel distance: the unbiased squared MMD with a cubic kernel. With Inception features it is KID.

Modes say how pairs are taken:

    all-pairs       every pair once: no randomness, the smallest error
    torchmetrics    mean over 100 subsets of 1,000 images and 1,000 of the reference, as KernelInceptionDistance draws
                    them after torch.manual_seed(0)
    clean-fid       the same with at most 1,000, as cleanfid.fid.kernel_distance draws them after np.random.seed(0)

All have the same expectation. The usual "+-" is the spread over subsets, neither the error of the value nor its
repeatability: it is in the card, and the standard error here is that over images. Binkowski et al. 2018,
arXiv:1801.01401.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import setting, settings
from .estimate import estimate
from .mmd import cubic, discrepancy
from .observations import column
from .reference import Reference
from .set_metric import FEATURES, ROWS, SetMetric
from .towers import EMBEDDED

if TYPE_CHECKING:
    from ..protocols import Observations, Value

SUBSETS, SIZE = 100, 1000
ALL_PAIRS = "all-pairs"
Draws = Iterator[tuple[np.ndarray, np.ndarray]]
"""Indices of images and of rows of the reference, a pair for each subset."""


@settings
class KernelDistance(SetMetric):
    """Unbiased squared MMD with the kernel (x'y/d + 1)^3. Binkowski et al. 2018, arXiv:1801.01401."""

    higher_is_better: ClassVar[bool | None] = False
    minimum: ClassVar[int] = 2
    rows: ClassVar[bool] = True

    features: str = setting(EMBEDDED, help=FEATURES)
    reference: str = setting(EMBEDDED, help=ROWS)
    mode: str = setting(
        ALL_PAIRS, choices=(ALL_PAIRS, "torchmetrics", "clean-fid"), help="how pairs are taken; all have one mean"
    )

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        return kernel_distance(shards, *self.compared(shards), self.mode)


def kernel_distance(
    shards: Iterable[Observations], name: str, reference: Reference, mode: str = ALL_PAIRS, size: int = SIZE
) -> Value:
    """The distance of observed features ``name`` to the feature rows of a reference.

    Raises:
        ValueError: for too few images, a reference without rows or of another dimension.
    """
    real = reference.features()
    card = {
        "metric": "kid" if name.startswith("features/inception") else "kd",
        "mode": mode,
        "extractor": name.removeprefix("features/"),
        "dimension": real.shape[1],
        "kernel": "(x'y/d + 1)^3, unbiased",
        "reference": reference.id,
        "reference_rows": len(real),
        "standard_error": "over images, the reference taken as fixed",
        **reference.card,
    }
    if mode == ALL_PAIRS:
        return estimate(*discrepancy(shards, name, reference, cubic), card)
    x = column(shards, name)
    draws = DRAWS[mode](len(x), len(real), size)
    value, influence, spread = subset_distance(x, real.astype(np.float64), draws)
    return estimate(value, influence, {**card, "spread_over_subsets": spread})


def subset_distance(x: np.ndarray, real: np.ndarray, draws: Draws) -> tuple[float, np.ndarray, float]:
    """Mean over subsets of the unbiased MMD^2, what each image adds to it, and the spread over subsets.

    An image adds what it adds to the subsets it is in, so the error has the images' part and that of their choice.
    """
    values, influence = [], np.zeros(len(x))
    for own, others in draws:
        m, some, rest = len(own), x[own], real[others]
        within, across, beyond = cubic(some, some), cubic(some, rest), cubic(rest, rest)
        near = (within.sum(axis=1) - within.diagonal()) / (m - 1)
        far = across.mean(axis=1)
        values.append(near.mean() + (beyond.sum() - beyond.trace()) / (m * (m - 1)) - 2 * far.mean())
        effect = 2 * (near - far)
        influence[own] += (effect - effect.mean()) * len(x) / m
    return float(np.mean(values)), influence / len(values), float(np.std(values))


def _torchmetrics(n: int, reference_rows: int, size: int) -> Draws:
    import torch

    if min(n, reference_rows) < size:
        raise ValueError(
            f"torchmetrics' KID needs {size} images and {size} rows of the reference, there are {n} and "
            f"{reference_rows}; use mode='clean-fid' or 'all-pairs'"
        )
    random = torch.Generator().manual_seed(0)
    for _ in range(SUBSETS):
        others = torch.randperm(reference_rows, generator=random)[:size].numpy()
        yield torch.randperm(n, generator=random)[:size].numpy(), others


def _cleanfid(n: int, reference_rows: int, size: int) -> Draws:
    random, m = np.random.RandomState(0), min(n, reference_rows, size)
    for _ in range(SUBSETS):
        own = random.choice(n, m, replace=False)
        yield own, random.choice(reference_rows, m, replace=False)


DRAWS: dict[str, Callable[[int, int, int], Draws]] = {"torchmetrics": _torchmetrics, "clean-fid": _cleanfid}

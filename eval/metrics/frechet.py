"""Frechet distances between the features of images and those of a reference.

``fd`` is the distance in any feature space and ``fid`` the one with clean-fid's Inception, the only one that may be
called FID. The formula is in gaussian.py; the standard error comes from the influence of each image, not a bootstrap.
Heusel et al. 2017, arXiv:1706.08500. That the distance falls with n is shown by Chong, Forsyth 2020, arXiv:1911.07023.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import setting, settings
from .estimate import estimate
from .gaussian import Moments, distance, influence, transport
from .libraries import LIBRARIES, cleanfid_distance, torchmetrics_distance
from .observations import rows
from .reference import Reference
from .set_metric import FEATURES, REFERENCE, SetMetric
from .towers import EMBEDDED

if TYPE_CHECKING:
    from ..protocols import Observations, Observer, Value

BIAS = "falls as n grows (about like 1/n): compare only values of the same n"


@settings
class FrechetDistance(SetMetric):
    """Frechet distance in a feature space: |m - m_r|^2 + tr S + tr S_r - 2 tr (S_r^(1/2) S S_r^(1/2))^(1/2).

    Not FID unless the extractor is Inception. Heusel et al. 2017, arXiv:1706.08500.
    """

    higher_is_better: ClassVar[bool | None] = False
    minimum: ClassVar[int] = 2

    features: str = setting(EMBEDDED, help=FEATURES)
    reference: str = setting(EMBEDDED, help=REFERENCE)
    via: str = setting("sigmabench", choices=LIBRARIES, help="whose code computes the distance from the features")

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        return frechet(shards, *self.compared(shards), self.via)


@settings
class FID(SetMetric):
    """Frechet Inception distance with clean-fid's resizing and network. arXiv:1706.08500, arXiv:2104.11222."""

    higher_is_better: ClassVar[bool | None] = False
    minimum: ClassVar[int] = 2
    features: ClassVar[str] = "inception"  # type: ignore[misc]

    reference: str = setting("", help="cleanfid:cifar10/train/32, a folder or .parquet of images, .npz of mu and sigma")
    via: str = setting("sigmabench", choices=LIBRARIES, help="whose code computes the distance from the features")

    def observers(self, device: str) -> Sequence[Observer]:
        self._check()
        return super().observers(device)

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        self._check()
        return frechet(shards, *self.compared(shards), self.via, metric="fid")

    def _check(self) -> None:
        if self.reference in ("", EMBEDDED):
            raise ValueError(
                f"FID.reference = {self.reference!r}: must be a folder of images, a .parquet of images, an .npz with "
                "mu and sigma, or a name of clean-fid's such as 'cleanfid:cifar10/train/32'; the package brings no "
                "Inception statistics. The metric fd works without."
            )


def frechet(
    shards: Iterable[Observations],
    name: str,
    reference: Reference,
    via: str = "sigmabench",
    metric: str = "fd",
) -> Value:
    """The distance of observed features ``name`` to a reference, in three passes over the shards at most.

    Raises:
        ValueError: for fewer than two images, or features of another dimension than the reference's.
    """
    moments = Moments(rows(shards, name))
    if moments.n < 2:
        raise ValueError(f"{metric} needs at least 2 images, there are {moments.n}")
    d = len(moments.mean)
    if d != len(reference.mean):
        raise ValueError(
            f"{name} has {d} features, reference {reference.id} has {len(reference.mean)}; use a reference made with "
            "the same extractor"
        )
    few = moments.n <= d
    centred = np.concatenate(list(rows(shards, name))) - moments.mean if few else None
    cov = moments.cov
    trace, form = transport(cov, reference.factor, centred)
    value = distance(moments.mean, cov, reference.mean, reference.cov, trace)
    if via == "torchmetrics":
        n = reference.n or 2
        value = torchmetrics_distance(rows(shards, name), reference.mean, reference.cov, n)
    elif via == "clean-fid":
        value = cleanfid_distance(moments.mean, cov, reference.mean, reference.cov)
    pushes = [influence(block, moments.mean, reference.mean, form) for block in rows(shards, name)]
    card = {
        "metric": metric,
        "extractor": name.removeprefix("features/"),
        "dimension": d,
        "reference": reference.id,
        "reference_n": reference.n,
        "via": via,
        "standard_error": "over images, the reference taken as fixed",
        "bias": BIAS + (f"; n <= dimension {d}, so the standard error is too large" if few else ""),
        **reference.card,
    }
    return estimate(value, np.concatenate(pushes), card)

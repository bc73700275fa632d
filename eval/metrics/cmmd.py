"""CMMD: the squared MMD of CLIP embeddings with a Gaussian kernel, unbiased and with its standard error.

    1000 MMD^2,    k(x, y) = exp(-|x - y|^2 / (2 sigma^2)),  sigma = 10

The paper states the unbiased estimator; its published code computes the biased one, which is larger by about
1000 (1 - mean k) (1/n + 1/m) and falls with n. Jayasumana et al. 2024, arXiv:2401.09603.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import setting, settings
from .estimate import estimate
from .mmd import discrepancy
from .reference import Reference
from .set_metric import SetMetric

if TYPE_CHECKING:
    from ..protocols import Observations, Value

SIGMA, SCALE = 10.0, 1000.0


@settings
class CMMD(SetMetric):
    """1000 times the unbiased squared MMD of CLIP embeddings, Gaussian kernel of width 10. arXiv:2401.09603."""

    higher_is_better: ClassVar[bool | None] = False
    minimum: ClassVar[int] = 2
    rows: ClassVar[bool] = True

    model: str = setting("ViT-L-14-336/openai", help="image-text model, by name or folder; the paper's by default")
    reference: str = setting("", help="a folder or .parquet of images, or an .npz with features of the same model")

    @property
    def features(self) -> str:  # type: ignore[override]
        if not self.reference:
            raise ValueError(
                "CMMD.reference = '': must be a folder of images, an .npz with feature rows or a .parquet of images; "
                "the package brings no statistics of CLIP embeddings. The metric kd works without."
            )
        return f"open_clip:{self.model}"

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        return cmmd(shards, *self.compared(shards))


def cmmd(shards: Iterable[Observations], name: str, reference: Reference) -> Value:
    """CMMD of observed embeddings ``name`` to the rows of a reference."""
    value, influence = discrepancy(shards, name, reference, gaussian)
    card = {
        "metric": "cmmd",
        "extractor": name.removeprefix("features/"),
        "kernel": f"exp(-|x - y|^2 / (2 * {SIGMA:g}^2)), unbiased, all pairs",
        "scale": SCALE,
        "reference": reference.id,
        "reference_rows": len(reference.features()),
        "standard_error": "over images, the reference taken as fixed",
        **reference.card,
    }
    return estimate(SCALE * value, SCALE * influence, card)


def gaussian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """exp(-|x - y|^2 / (2 sigma^2)) - 1, which has the same MMD and keeps its digits: kernels are close to 1."""
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None] - 2 * x @ y.T
    return np.expm1(squares.clip(0) / (-2 * SIGMA**2))

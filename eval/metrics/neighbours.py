"""Precision, recall, density and coverage: which images lie among the real ones, and which real ones they reach.

Around each real image y_j is a ball up to its k-th nearest other real image, and around each image x_i likewise:

    precision    share of images inside any real ball               fidelity
    density      mean number of real balls around an image, / k     fidelity, less swayed by outliers; can exceed 1
    coverage     share of real balls with an image inside           diversity
    recall       share of real images inside any image's ball       diversity

Kynkaanniemi et al. 2019, arXiv:1904.06991 (precision, recall; k = 3 there); Naeem et al. 2020, arXiv:2002.09797
(density, coverage; k = 5). For precision and density the column per image is the membership itself. For coverage and
recall it is the jackknife's: n - 1 times what the value loses without the image, which is on the safe side. Efron,
Stein 1981, doi:10.1214/aos/1176345462.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from ...samplers.settings import setting, settings
from .balls import FORMULAS
from .estimate import estimate
from .observations import column
from .set_metric import FEATURES, ROWS, SetMetric
from .towers import EMBEDDED

if TYPE_CHECKING:
    from ..protocols import Observations, Value

SIZE = "neighbours that decide how large a ball is"


class Neighbours(SetMetric):
    """What the four metrics share: features, reference and k."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = 8
    rows: ClassVar[bool] = True

    k: int

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        (name, reference), kind = self.compared(shards), type(self).__name__.lower()
        value, influence = FORMULAS[kind](column(shards, name), reference, self.k)
        card = {
            "metric": kind,
            "extractor": name.removeprefix("features/"),
            "neighbours": self.k,
            "reference": reference.id,
            "reference_rows": len(reference.features()),
            "standard_error": "over images, the reference taken as fixed",
            "bias": "depends on n and on the rows of the reference: compare only values of the same",
            **reference.card,
        }
        return estimate(value, influence, card)


@settings
class Precision(Neighbours):
    """Share of images that lie among the real ones, inside the ball of any of them. arXiv:1904.06991."""

    features: str = setting(EMBEDDED, help=FEATURES)
    reference: str = setting(EMBEDDED, help=ROWS)
    k: int = setting(3, low=1, high=1000, help=SIZE)


@settings
class Recall(Neighbours):
    """Share of real images that lie among these, inside the ball of any of them. arXiv:1904.06991."""

    features: str = setting(EMBEDDED, help=FEATURES)
    reference: str = setting(EMBEDDED, help=ROWS)
    k: int = setting(3, low=1, high=1000, help=SIZE)


@settings
class Density(Neighbours):
    """Mean number of real balls around an image, over k; can exceed 1. arXiv:2002.09797."""

    features: str = setting(EMBEDDED, help=FEATURES)
    reference: str = setting(EMBEDDED, help=ROWS)
    k: int = setting(5, low=1, high=1000, help=SIZE)


@settings
class Coverage(Neighbours):
    """Share of real images whose ball has an image inside. arXiv:2002.09797."""

    features: str = setting(EMBEDDED, help=FEATURES)
    reference: str = setting(EMBEDDED, help=ROWS)
    k: int = setting(5, low=1, high=1000, help=SIZE)

"""Inception score: are images sure of a class each, and of all classes together?

    IS = exp(mean_i KL(p(y | x_i) || p(y))),   p(y) = mean_i p(y | x_i)

It knows no reference: memorised or repeated images of every class score best. All images make one split, and the
standard error is that of the images, IS (KL_i - mean KL) each; the usual "+-" is the spread over ten small parts.
Salimans et al. 2016, arXiv:1606.03498; Barratt, Sharma 2018, arXiv:1801.01973.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...samplers.settings import setting, settings
from .agreement import JUDGE, JudgeObserver
from .estimate import estimate
from .observations import column, find

if TYPE_CHECKING:
    from ..protocols import Observations, Observer, Value

NETWORKS = ("inception", "embedded")


@settings
class InceptionScore:
    """exp(mean KL(p(y|x) || p(y))) of a classifier; the Inception score only with Inception. arXiv:1606.03498."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = 2

    network: str = setting("inception", choices=NETWORKS, help="whose classes; embedded has the ten of CIFAR-10")

    def observers(self, device: str) -> Sequence[Observer]:
        if self.network == "embedded":
            return [JudgeObserver(device)]
        from .inception import InceptionClasses

        return [InceptionClasses(device)]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name = find(shards, JUDGE if self.network == "embedded" else "classes/inception")
        card: dict[str, Any] = {
            "metric": "inception_score" if self.network == "inception" else "class_score",
            "network": name.partition("/")[2],
            "formula": "exp(mean KL(p(y|x) || p(y))), one split",
            "bias": "grows with n: compare only values of the same n",
        }
        return inception_score(column(shards, name), card)


def inception_score(probabilities: np.ndarray, card: dict[str, Any]) -> Value:
    """The score of class probabilities (n, classes) and what each image adds to it."""
    marginal = probabilities.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probabilities > 0, probabilities * (np.log(probabilities) - np.log(marginal)), 0.0)
    divergences = terms.sum(axis=1)
    value = float(np.exp(divergences.mean()))
    return estimate(value, value * divergences, card)

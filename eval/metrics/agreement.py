"""Class agreement: does the embedded judge see what the prompt asked for?

The judge is a classifier of ten nouns that shares nothing with the feature network. Its probabilities are stored, so
that the share of hits can be recomputed. This is the "classification accuracy score" of Ravuri, Vinyals 2019,
arXiv:1905.10887, the other way round: the classifier is trained on real images and the generated ones are tested.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import settings
from .estimate import mean
from .observations import check_pixels, column, find
from .precision import full_precision
from .resize import RESIZER, resized

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations, Observer, Value

REQUESTED = "requested/cifar10"
JUDGE = "judge/cifar10"


def requested_class(prompt: str) -> int:
    """The index of the one class whose noun or synonym is in the prompt.

    Raises:
        ValueError: for a prompt with no such noun or several, naming it.
    """
    from ..embedded.captions import CLASSES, names_of

    words = set(re.findall(r"[a-z]+", prompt.lower()))
    found = [label for label in range(len(CLASSES)) if words & set(names_of(label))]
    if len(found) != 1:
        problem = "two classes or more" if found else "none of the classes"
        raise ValueError(
            f"class_agreement: prompt {prompt!r} names {problem}: must name one of {', '.join(CLASSES)} (or a synonym)"
        )
    return found[0]


class RequestedObserver:
    """The class each prompt asks for, int64 (B,)."""

    name = REQUESTED

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        check_pixels(images, prompts)
        return np.array([requested_class(prompt) for prompt in prompts], dtype=np.int64)


class JudgeObserver:
    """The judge's probability of each class, float32 (B, 10); images of other sizes are resized to 32x32."""

    def __init__(self, device: str) -> None:
        from ..embedded.judge import load_judge

        judge = load_judge()
        self.device = device
        self.judge = judge if device == "cpu" else copy.deepcopy(judge).to(device)
        self.name = f"{JUDGE}-{judge.hash}/{RESIZER}"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        check_pixels(images, prompts)
        with full_precision(self.device):
            return self.judge(resized(images.to(self.device), 32)).float().softmax(dim=1)


@settings
class ClassAgreement:
    """Share of images whose most probable class, by the embedded judge, is the one their prompt names."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = 2

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """
        Raises:
            ValueError: for a prompt that does not name exactly one of the ten classes.
        """
        for prompt in prompts:
            requested_class(prompt)

    def observers(self, device: str) -> Sequence[Observer]:
        return [JudgeObserver(device), RequestedObserver()]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name = find(shards, JUDGE)
        probabilities, requested = column(shards, name), column(shards, REQUESTED).astype(int)
        hits = probabilities.argmax(axis=1) == requested
        card = {
            "metric": "class_agreement",
            "judge": name.removeprefix("judge/"),
            "mean_probability": float(probabilities[np.arange(len(hits)), requested].mean()),
            "wilson95": wilson(int(hits.sum()), len(hits)),
        }
        return mean(hits.astype(np.float64), card)


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a share that is right also near 0 and 1, where the standard error is 0. Wilson 1927."""
    p, scale = hits / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)

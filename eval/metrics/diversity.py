"""Diversity: how different are the images of one prompt? It falls as guidance rises.

For each prompt with three images or more, the mean of 1 - cos(u, v) over pairs of its images' features, averaged over
prompts with weights n_p. With unit features u_i and their sum s it needs no pairs:

    g_i = mean_{j != i} (1 - u_i'u_j) = 1 - (u_i's - 1) / (n_p - 1)

The standard error is the jackknife's for each prompt's U-statistic, with the prompts held fixed:
f_i = 2 (n_p - 1) / (n_p - 2) (g_i - mean g). Efron, Stein 1981, doi:10.1214/aos/1176345462.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...samplers.settings import setting, settings
from .estimate import estimate
from .features import load_extractor, stem
from .observations import check_pixels, find, rows
from .set_metric import FEATURES
from .towers import EMBEDDED

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations, Observer, Value

PROMPT = "prompt/blake2b"
LEAST = 3  # images of a prompt: with two, the pair says nothing about its own error


class PromptObserver:
    """64 bits of each prompt's hash, int64 (B,): which images share a prompt."""

    name = PROMPT

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        check_pixels(images, prompts)
        digests = (hashlib.blake2b(prompt.encode(), digest_size=8).digest() for prompt in prompts)
        return np.array([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=np.int64)


@settings
class Diversity:
    """Mean cosine distance between features of images that share a prompt, 0 (all the same) to 2."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = LEAST

    features: str = setting(EMBEDDED, help=FEATURES)

    def observers(self, device: str) -> Sequence[Observer]:
        return [load_extractor(self.features, device), PromptObserver()]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name = find(shards, stem(self.features))
        prompts = np.concatenate([np.asarray(shard[PROMPT]) for shard in shards])
        _, group, sizes = np.unique(prompts, return_inverse=True, return_counts=True)
        used = sizes[group] >= LEAST
        if not used.any():
            raise ValueError(
                f"diversity needs {LEAST} images or more of a prompt, the most there are is {sizes.max()}; use more "
                "images or fewer prompts"
            )
        gaps = _gaps(shards, name, group, sizes)
        values = np.bincount(group, weights=gaps) / sizes
        value = np.average(values, weights=sizes * (sizes >= LEAST))
        n = sizes[group].astype(np.float64)
        influence = np.zeros(len(gaps))
        deviation = gaps - values[group]
        scale = 2 * (n[used] - 1) / (n[used] - 2) * np.sqrt(n[used] / (n[used] - 1))
        influence[used] = scale * deviation[used] * (len(gaps) / used.sum())
        card = {
            "metric": "diversity",
            "extractor": name.removeprefix("features/"),
            "distance": "1 - cos of features, mean over pairs of images of a prompt",
            "prompts": int((sizes >= LEAST).sum()),
            "images_left_out": int((~used).sum()),
        }
        return estimate(float(value), influence, card)


def _gaps(shards: Iterable[Observations], name: str, group: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """g_i of each image, 0 where it is alone; holds one feature row per prompt."""
    sums, start = np.zeros((len(sizes), 1)), 0
    for block in rows(shards, name):
        sums = sums if start else np.zeros((len(sizes), block.shape[1]))
        np.add.at(sums, group[start : start + len(block)], _unit(block))
        start += len(block)
    parts, start = [], 0
    for block in rows(shards, name):
        own = group[start : start + len(block)]
        others = np.maximum(sizes[own] - 1, 1)
        parts.append(np.where(sizes[own] > 1, 1 - ((_unit(block) * sums[own]).sum(axis=1) - 1) / others, 0.0))
        start += len(block)
    return np.concatenate(parts)


def _unit(block: np.ndarray) -> np.ndarray:
    return block / np.linalg.norm(block, axis=1, keepdims=True).clip(1e-12)

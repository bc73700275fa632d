"""The spaces in which sets of images are compared, by name.

Each has a name:

    cifarnet    this package's own classifier, 256 channel means, 32x32 (arXiv:2404.00498 is its model)
    inception   clean-fid's Inception, 2048 numbers, 299x299: the only one whose Frechet distance is called FID
    clip        image embedding of the image-text model named by ``model``
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from .observations import check_pixels
from .precision import full_precision
from .resize import RESIZER, resized
from .towers import EMBEDDED, load_towers, slug

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..protocols import Observer

EXTRACTORS = ("cifarnet", "inception", "clip")


class CifarnetFeatures:
    """Features of the embedded network, float32 (B, 256); images of other sizes are resized to 32x32."""

    def __init__(self, device: str) -> None:
        from ..embedded.features import load_feature_net

        network = load_feature_net()
        self.device = device
        self.network = network if device == "cpu" else copy.deepcopy(network).to(device)
        self.name = f"features/{network.name}/{RESIZER}"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        check_pixels(images, prompts)
        with full_precision(self.device):
            return self.network(resized(images.to(self.device), 32)).float().cpu().numpy()


class ClipFeatures:
    """Image embeddings of unit length, float32 (B, d)."""

    def __init__(self, model: str, device: str) -> None:
        self.towers = load_towers(model, device)
        self.name = f"features/{self.towers.name}/{self.towers.resizer}"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        check_pixels(images, prompts)
        return self.towers.embed_images(images).float().cpu().numpy()


@lru_cache(maxsize=4)
def load_extractor(extractor: str, model: str = EMBEDDED, device: str = "cpu") -> Observer:
    """An observer of features; its name has the hash of its weights and its resizer.

    Raises:
        ValueError, OSError: for an unknown extractor or missing weights, with the remedy.
    """
    if extractor == "cifarnet":
        return CifarnetFeatures(device)
    if extractor == "inception":
        from .inception import load_inception

        return load_inception(device)
    if extractor == "clip":
        return ClipFeatures(model, device)
    raise ValueError(f"extractor = {extractor!r}: must be one of {', '.join(map(repr, EXTRACTORS))}")


def stem(extractor: str, model: str = EMBEDDED) -> str:
    """What the names of an extractor's observations begin with, known without its weights."""
    return f"features/{slug(model) if extractor == 'clip' else extractor}"

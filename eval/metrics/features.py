"""The spaces in which sets of images are compared, by name.

    embedded            this package's own classifier, 256 channel means, 32x32 (arXiv:2404.00498 is its model)
    inception           clean-fid's Inception, 2048 numbers, 299x299: the only one whose Frechet distance is called FID
    open_clip:<model>   image embeddings of an image-text model: a folder, or a name as for the metric clip_score
    dinov2:<model>      class tokens of DINOv2, 224x224: a folder, or a name on the Hugging Face hub

A package adds a space of its own with ``SPACES["name"] = Space(load, stem)``, in the module that registers its metrics.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .observations import check_pixels
from .precision import full_precision
from .resize import RESIZER, resized
from .towers import EMBEDDED, load_towers, slug

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observer


class CifarnetFeatures:
    """Features of the embedded network, float32 (B, 256); images of other sizes are resized to 32x32."""

    def __init__(self, device: str) -> None:
        from ..embedded.features import load_feature_net

        network = load_feature_net()
        self.device = device
        self.network = network if device == "cpu" else copy.deepcopy(network).to(device)
        self.name = f"features/{network.name}/{RESIZER}"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        check_pixels(images, prompts)
        with full_precision(self.device):
            return self.network(resized(images.to(self.device), 32)).float()


class ClipFeatures:
    """Image embeddings of unit length, float32 (B, d)."""

    def __init__(self, model: str, device: str) -> None:
        self.towers = load_towers(model, device)
        self.name = f"features/{self.towers.name}/{self.towers.resizer}"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        check_pixels(images, prompts)
        return self.towers.embed_images(images).float()


class Space(NamedTuple):
    """How a feature space is loaded and named."""

    load: Callable[[str, str], Observer]
    """From what follows the colon in its name, and the device."""
    stem: Callable[[str], str]
    """What its observations are called before the hash of the weights, known without them."""
    model: str = ""
    """What stands after the colon if nothing is said."""


def _inception(model: str, device: str) -> Observer:
    from .inception import InceptionFeatures

    return InceptionFeatures(device)


def _dinov2(model: str, device: str) -> Observer:
    from .dinov2 import Dinov2Features

    return Dinov2Features(model, device)


def _dinov2_slug(model: str) -> str:
    from .dinov2 import slug as dinov2_slug

    return dinov2_slug(model)


SPACES = {
    EMBEDDED: Space(lambda _, device: CifarnetFeatures(device), lambda _: "cifarnet"),
    "inception": Space(_inception, lambda _: "inception"),
    "open_clip": Space(ClipFeatures, slug, EMBEDDED),
    "dinov2": Space(_dinov2, _dinov2_slug, "facebook/dinov2-large"),
}


@lru_cache(maxsize=4)
def load_extractor(features: str, device: str = "cpu") -> Observer:
    """An observer of features; its name has the hash of its weights and its resizer.

    Raises:
        ValueError, OSError: for an unknown space or missing weights, with the remedy.
    """
    space, model = _find(features)
    return space.load(model, device)


def stem(features: str) -> str:
    """What the names of a space's observations begin with, known without its weights."""
    space, model = _find(features)
    return f"features/{space.stem(model)}"


def _find(features: str) -> tuple[Space, str]:
    name, _, model = features.partition(":")
    if name not in SPACES:
        known = ", ".join(name + (f":<model> ({space.model})" if space.model else "") for name, space in SPACES.items())
        raise ValueError(f"features = {features!r}: must be one of {known}")
    if model and not SPACES[name].model:
        raise ValueError(f"features = {features!r}: {name} has one model only; write {name!r}")
    return SPACES[name], model or SPACES[name].model

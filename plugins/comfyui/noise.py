"""Noise that belongs to the image: image k of a batch is the same when it is made alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...samplers.noise import SeededNoise
from .node_class import CATEGORY

if TYPE_CHECKING:
    from torch import Tensor


class Seeds(int):
    """The first seed, as ComfyUI knows it, with those of all images, which reach our samplers by it."""

    of_images: tuple[int, ...]


class ImageNoise:
    """ComfyUI's NOISE. Image i has the seed ``seed + i``, or ``seed + batch_index[i]`` where a latent has those."""

    def __init__(self, seed: int) -> None:
        self.seed = Seeds(seed)

    def generate_noise(self, latent: dict[str, Any]) -> Tensor:
        samples = latent["samples"]
        indices = latent.get("batch_index") or range(len(samples))
        self.seed.of_images = tuple((self.seed + int(i)) % 2**32 for i in indices)
        return SeededNoise(self.seed.of_images, samples.shape[1:], "cpu", samples.dtype).initial()


class SigmabenchNoise:
    """Noise by which image i of a batch is the one that the seed noise_seed + i gives alone.

    ComfyUI draws a batch's noise in one go, so that only its first image can be made again. Sampler steps that add
    noise follow the same seeds, each along a path that is the same for any number of steps. It equals diffusers with a
    list of generators, one for each image.
    """

    DESCRIPTION = __doc__
    RETURN_TYPES = ("NOISE",)
    RETURN_NAMES = ("noise",)
    FUNCTION = "execute"
    CATEGORY = f"{CATEGORY}/noise"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        seed = {
            "default": 0,
            "min": 0,
            "max": 2**32 - 1,
            "control_after_generate": True,
            "tooltip": "of the first image",
        }
        return {"required": {"noise_seed": ("INT", seed)}}

    def execute(self, noise_seed: int) -> tuple[ImageNoise]:
        return (ImageNoise(noise_seed),)

"""Image to image and inpainting: a walk that starts from a noised image, and a part of it that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...samplers.level import Level
from ...samplers.moved import moved

if TYPE_CHECKING:
    from .latents import Autoencoder


def read_image(path: str) -> Any:
    """An image file as RGB.

    Raises:
        ValueError: if it is none.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(Path(path).expanduser()) as image:
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not an image that can be read") from error


def pictures(images: Tensor) -> list[Any]:
    """uint8 (B, 3, H, W) as images of Pillow."""
    from PIL import Image

    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images.cpu()]


class SourceImage:
    """The image z that a walk starts from, x = alpha z + sigma noise, and keeps where the mask is black.

    What is kept is said to the sampler as its prediction there: x0 = z. With the deterministic samplers, x is then
    alpha z + sigma noise at every level, as in the pipelines of diffusers. Meng et al. 2022 (SDEdit), arXiv 2108.01073;
    Lugmayr et al. 2022 (RePaint), arXiv 2201.09865. A gradual mask keeps a place until the time, from 1 at noise to 0,
    is down to its grey. Levin, Fried 2023 (differential diffusion), arXiv 2306.00950.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        shape: tuple[int, ...],
        image: str,
        mask: str,
        device: Any,
        gradual: bool = False,
    ) -> None:
        size = autoencoder.size(shape)
        self.z = autoencoder.encode(pixels(read_image(image), size).to(device))
        self.mask: Tensor | None = None
        self.gradual = gradual
        if mask:
            grey = (pixels(read_image(mask).convert("L"), size) + 1) / 2
            self.mask = autoencoder.like_latents(grey if gradual else (grey >= 0.5).float(), shape).to(device)

    def begin(self, noise: Tensor, level: Level, strength: float) -> Tensor:
        """The first x; what is made anew starts from noise alone if all of the steps are walked."""
        x = level.alpha * self.z + level.sigma * noise
        return x if self.mask is None or strength < 1 else torch.lerp(x, noise * level.norm, self._anew([1.0]))

    def kept(self, x0: Tensor, times: Sequence[float]) -> Tensor:
        """The prediction, z where the mask is black, or darker than the time of each row."""
        return x0 if self.mask is None else torch.lerp(self.z.to(x0), x0, self._anew(times).to(x0))

    def _anew(self, times: Sequence[float]) -> Tensor:
        """1 where an image is made anew at its time."""
        assert self.mask is not None
        if not self.gradual:
            return self.mask
        now = moved(torch.tensor(times), self.mask.device).view(-1, *[1] * (self.mask.ndim - 1))
        return (self.mask.float() >= now).float() * (self.mask > 0)


def pixels(image: Any, size: tuple[int, int]) -> Tensor:
    """-1..1, (1, C, height, width)."""
    from PIL import Image

    height, width = size
    pixels = np.atleast_3d(np.asarray(image.resize((width, height), Image.Resampling.LANCZOS)))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1

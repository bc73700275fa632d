"""Images of a folder in the place of a model that draws them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...samplers.schedules import ScaledLinear
from ..protocols import Condition, Sample
from .image_names import Named, named
from .weights_hash import content_hash

if TYPE_CHECKING:
    from pathlib import Path

    from ...samplers.level import Level
    from ..cells import Cell
    from .images import Images

FORMATS = ("PNG", "JPEG", "WEBP")


class GivenImages:
    """Whole images, read from a folder; of how they were made nothing is known.

    Raises:
        FileNotFoundError, ValueError: for a folder that cannot be used.
    """

    def __init__(self, settings: Images) -> None:
        self.named: Named = named(settings.path, settings.table)
        self.size = _common_size(self.named.files)
        self.id = f"images/{self.named.folder.name.lower()}-{_hash(self.named)}"
        self.schedule, self.prediction, self.shape, self.network = ScaledLinear(), "v", (3,), torch.nn.Identity()

    def check(self, cell: Cell) -> None:
        """There is one cell, and it can always be had."""

    def check_images(self, samples: Sequence[Sample]) -> None:
        """
        Raises:
            ValueError: if one of these has no image, with their number and what to do.
        """
        lacking = [sample for sample in samples if self.named.find(sample) is None]
        if lacking:
            first = lacking[0]
            raise ValueError(
                f"{self.named.folder} has {len(samples) - len(lacking)} of the {len(samples)} images of this sweep; "
                f"the first that is missing is {self.named.wanted(first)}: add it, or take fewer images"
            )

    def evaluations(self, cell: Cell) -> int:
        """None that are known of."""
        return 0

    def draw(self, cell: Cell, samples: Sequence[Sample]) -> Tensor:
        """Images of these samples, uint8 (B, 3, H, W)."""
        self.check_images(samples)
        return torch.stack([_pixels(file) for sample in samples if (file := self.named.find(sample))])

    def encode(self, prompts: Sequence[str]) -> Condition:
        raise NotImplementedError("images that are there already are not conditioned")

    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        raise NotImplementedError("images that are there already cannot be asked for predictions")

    def decode(self, x: Tensor) -> Tensor:
        """They are images already."""
        return x


def _common_size(files: Sequence[Path]) -> tuple[int, int]:
    """Width and height.

    Raises:
        ValueError: for a file that is no image, or not of the size of the first.
    """
    from PIL import Image

    found: dict[tuple[int, int], Path] = {}
    for file in files:
        try:
            with Image.open(file, formats=FORMATS) as image:
                found.setdefault(image.size, file)
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} is not an image that can be read ({', '.join(FORMATS)}): {error}") from error
    if len(found) > 1:
        (first, one), (second, other) = list(found.items())[:2]
        raise ValueError(
            f"{one.name} has {first[0]} x {first[1]} pixels and {other.name} {second[0]} x {second[1]}: bring all "
            "images of a folder to one size, as its metrics compare them with each other"
        )
    return next(iter(found))


def _pixels(file: Path) -> Tensor:
    from PIL import Image

    with Image.open(file, formats=FORMATS) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _hash(found: Named) -> str:
    """Of all images and of what says whose they are."""
    whole = hashlib.sha256()
    for who, files in found.by_name.items():
        whole.update(repr((who, [content_hash(str(file)) for file in files])).encode())
    return whole.hexdigest()[:8]

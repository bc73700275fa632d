"""What models of people's choices have in common: how they see an image, how they are named, what they cannot read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels of CLIP's training images, by which all of them normalise."""


def prepared(images: Tensor, side: int) -> Tensor:
    """uint8 (B, 3, H, W) to float (B, 3, side, side): shorter side to that by PIL's bicubic, middle, normalised."""
    import torch
    from PIL import Image

    made = []
    for pixels in images.permute(0, 2, 3, 1).cpu().numpy():
        picture = Image.fromarray(pixels)
        scale = side / min(picture.size)
        wide, high = (max(side, int(length * scale)) for length in picture.size)
        left, top = (wide - side) // 2, (high - side) // 2
        resized = picture.resize((wide, high), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
        made.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255)
    return normalised(torch.stack(made))


def normalised(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) in 0 ... 1 by CLIP's mean and standard deviation."""
    import torch

    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def name_of(model: str) -> str:
    """The last part of a path or name, as observations are called by it."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", Path(model).name).strip("-")


def check_lengths(who: str, context: int, lengths: Mapping[str, int]) -> None:
    """
    Raises:
        ValueError: for an empty prompt, or one of more tokens than there is room for, marks included.
    """
    for number, (prompt, length) in enumerate(lengths.items(), 1):
        if not prompt.strip() or length > context:
            problem = "is empty" if not prompt.strip() else f"is {length - context} tokens longer than {who} reads"
            raise ValueError(f"prompt {number}, {prompt!r}, {problem}; mend or remove it")

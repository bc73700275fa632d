"""What models of people's choices have in common: how they see an image, how they are named, what they cannot read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels of CLIP's training images, by which all of them normalise."""


def normalised(pixels: Tensor, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """(B, 3, H, W) in 0 ... 1 less a mean and over a standard deviation of each channel."""
    import torch

    from ...samplers.moved import moved

    less, over = (moved(torch.tensor(values).view(3, 1, 1), pixels.device) for values in (mean, std))
    return (pixels - less) / over


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

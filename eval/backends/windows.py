"""What a U-Net predicts of overlapping parts of x, averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...samplers.level import Level
from ...samplers.perturbation import Windows
from ...samplers.windows import boxes, mean_of
from ..protocols import Condition


def windows(model: Any, change: Windows) -> Callable[[Tensor, Sequence[Level], Condition], Tensor]:
    """
    Raises:
        ValueError: for a network that is no U-Net, whose positions it knows, or one that is told of a whole image.
    """
    if not hasattr(model.network, "down_blocks") or len(model.shape) != 3:
        raise ValueError(f"{change} needs a U-Net, which takes x of any size, not {type(model.network).__name__}")
    replay = getattr(model, "replay", None)
    if getattr(model, "source", None) is not None or (replay and (replay.beside or "channels" in replay.conditions)):
        raise ValueError(f"{change} needs a model without an image beside x, which {model.id} has")
    found = boxes(model.shape, change)

    def denoise(x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        own = {name: torch.cat([rows] * len(found)) for name, rows in condition.items()}
        parts = model.denoise(torch.cat([x[..., i, j] for i, j in found]), list(levels) * len(found), own)
        return mean_of(x, found, parts.split(len(x)))

    return denoise

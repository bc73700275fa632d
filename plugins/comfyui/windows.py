"""The mean of what one of ComfyUI's U-Nets predicts for overlapping parts of x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...samplers.perturbation import Windows
from ...samplers.windows import boxes, mean_of
from .dit import architecture
from .layers import is_unet

PLACED = ("area", "mask", "control", "gligen")
"""What a conditioning may have that belongs to places of the whole image."""


def predict(
    host: Any, model: Any, change: Windows, conds: Sequence[Any], call: tuple[Tensor, Tensor, dict[str, Any]]
) -> list[Tensor]:
    """x0 under each of the conditionings, one call for each window.

    Raises:
        ValueError: for a network that is no U-Net, and for conditionings that belong to places of the image.
    """
    x, sigma, options = call
    check(model.diffusion_model, x.shape)
    for part in (part for cond in conds for part in cond):
        _check(part)
    found = boxes(x.shape, change)
    parts = [host.calc_cond_batch(model, list(conds), x[..., i, j].contiguous(), sigma, options) for i, j in found]
    return [mean_of(x, found, own) for own in zip(*parts, strict=True)]


def check(network: Any, shape: Sequence[int]) -> None:
    """
    Raises:
        ValueError: for a network that is no U-Net.
    """
    if not is_unet(network) or len(shape) != 4:
        raise ValueError(f"{architecture(network)} is no U-Net, which takes x of any size")


def _check(part: dict[str, Any]) -> None:
    images = [name for name, given in part["model_conds"].items() if getattr(given.cond, "ndim", 0) == 4]
    placed = [*(name for name in PLACED if part.get(name) is not None), *images]
    if placed:
        raise ValueError(
            f"a conditioning with {', '.join(placed)} belongs to places of the whole image, not to windows of it"
        )

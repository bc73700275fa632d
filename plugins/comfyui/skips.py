"""FreeU in ComfyUI's U-Nets: weights for what comes from below and what comes from the way down, by its patch."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...samplers.perturbation import ScaledSkips
from ...samplers.skip_weights import weighed
from .dit import architecture
from .layers import is_unet

KIND = "output_block_patch"


def options(given: dict[str, Any], network: Any, change: ScaledSkips) -> dict[str, Any]:
    """The transformer options with the patch after those of other packs.

    Raises:
        ValueError: for a network that is no U-Net.
    """
    if not is_unet(network):
        raise ValueError(f"{architecture(network)} is no U-Net, and this weighs the skip connections of U-Nets alone")
    stages = _stages(network)
    weights = (change.b1, change.s1), (change.b2, change.s2)
    by_channels = {4 * network.model_channels: weights[0], 2 * network.model_channels: weights[1]}

    def patch(below: Tensor, skip: Tensor, extra: dict[str, Any]) -> tuple[Tensor, Tensor]:
        stage = stages[extra["block"][1]]
        own = by_channels.get(below.shape[1]) if change.by_channels else dict(enumerate(weights)).get(stage)
        return weighed(below, skip, *own, change.structure) if own else (below, skip)

    patches = given.get("patches", {})
    return {**given, "patches": {**patches, KIND: [*patches.get(KIND, []), patch]}}


def _stages(network: Any) -> list[int]:
    """Of each block up its stage, which ends with the module that changes the size."""
    found, stage = [], 0
    for block in network.output_blocks:
        found.append(stage)
        stage += any(type(module).__name__ == "Upsample" for module in block)
    return found

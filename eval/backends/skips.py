"""A U-Net of diffusers whose stages up weigh what comes from below, and what comes from the way down, anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from ...plugins.replaced import forward_replaced
from ...samplers.level import Level
from ...samplers.perturbation import ScaledSkips
from ...samplers.skip_weights import weighed
from ..protocols import Condition

STAGES = 2


def scaled_skips(model: Any, change: ScaledSkips) -> Callable[[Tensor, Sequence[Level], Condition], Tensor]:
    """
    Raises:
        ValueError: unless the network is a U-Net of at least two stages up.
    """
    network = model.network
    stages = getattr(network, "up_blocks", None)
    if stages is None or len(stages) < STAGES or not all(hasattr(stage, "resnets") for stage in stages[:STAGES]):
        raise ValueError(f"{change} needs a U-Net with at least two stages up, not {type(network).__name__}")

    def denoise(x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        with ExitStack() as stack:
            for resnet, width, b, s in weighed_blocks(network, change):
                stack.enter_context(forward_replaced(resnet, _weighing(resnet, width, b, s, change.structure)))
            return model.denoise(x, levels, condition)

    return denoise


def weighed_blocks(network: Any, change: ScaledSkips) -> Iterator[tuple[nn.Module, int, float, float]]:
    """Residual blocks, the channels that they are given from below, and both weights."""
    below = (network.mid_block or network.down_blocks[-1]).resnets[-1].out_channels
    weights = (change.b1, change.s1), (change.b2, change.s2)
    width = network.down_blocks[0].resnets[0].out_channels
    by_channels = {4 * width: weights[0], 2 * width: weights[1]}
    for i, stage in enumerate(network.up_blocks):
        for resnet in stage.resnets:
            own = by_channels.get(below) if change.by_channels else dict(enumerate(weights)).get(i)
            if own:
                yield resnet, below, *own
            below = resnet.out_channels


def _weighing(resnet: nn.Module, width: int, b: float, s: float, structure: bool) -> Callable[..., Any]:
    usual = resnet.forward

    def forward(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        parts = weighed(hidden[:, :width], hidden[:, width:], b, s, structure)
        return usual(torch.cat(parts, 1), *args, **kwargs)

    return forward

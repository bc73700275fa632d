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
            for resnet, width, b, s in _weighed(network, change):
                stack.enter_context(forward_replaced(resnet, _weighing(resnet, width, b, s, change.structure)))
            return model.denoise(x, levels, condition)

    return denoise


def _weighed(network: Any, change: ScaledSkips) -> Iterator[tuple[nn.Module, int, float, float]]:
    """Residual blocks, the channels that they are given from below, and both weights."""
    below = (network.mid_block or network.down_blocks[-1]).resnets[-1].out_channels
    for stage, b, s in zip(network.up_blocks, (change.b1, change.b2), (change.s1, change.s2), strict=False):
        for resnet in stage.resnets:
            yield resnet, below, b, s
            below = resnet.out_channels


def _weighing(resnet: nn.Module, width: int, b: float, s: float, structure: bool) -> Callable[..., Any]:
    usual = resnet.forward

    def forward(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        below, skip = hidden[:, :width], hidden[:, width:]
        half = width // 2
        strong = below[:, :half] * _backbone(below, b, structure)
        return usual(torch.cat([strong, below[:, half:], low_scaled(skip, s)], 1), *args, **kwargs)

    return forward


def _backbone(below: Tensor, b: float, structure: bool) -> Tensor | float:
    """b, or from 1 to b by the mean over channels, from its least to its largest in the image."""
    if not structure:
        return b
    mean = below.mean(1, keepdim=True)
    least, most = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
    return (b - 1) * (mean - least) / (most - least).clamp(min=torch.finfo(mean.dtype).tiny) + 1


def low_scaled(skip: Tensor, s: float) -> Tensor:
    """The lowest frequencies, 0 and -1 in both dimensions as in the authors' code, times s."""
    spectrum = torch.fft.fft2(skip.float())
    lowest = torch.zeros_like(spectrum)
    for row in (0, -1):
        for column in (0, -1):
            lowest[..., row, column] = spectrum[..., row, column]
    return skip + ((s - 1) * torch.fft.ifft2(lowest).real).to(skip.dtype)

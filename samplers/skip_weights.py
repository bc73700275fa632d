"""What FreeU makes of the two inputs of a residual block on the way up of a U-Net; see ``guidance.FreeU``."""

from __future__ import annotations

import torch
from torch import Tensor


def weighed(below: Tensor, skip: Tensor, b: float, s: float, structure: bool) -> tuple[Tensor, Tensor]:
    """Half of the channels from below weighed by b, and the lowest frequencies of the skip connection by s."""
    half = below.shape[1] // 2
    return torch.cat([below[:, :half] * _backbone(below, b, structure), below[:, half:]], 1), low_scaled(skip, s)


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

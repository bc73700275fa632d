"""Numbers of the host on their way to the device that works with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def moved(tensor: Tensor, device: torch.device | str, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of the host on a device, without a wait for what the device was asked for before.

    On a GPU only a copy from page-locked memory takes its place in the queue; from any other it is waited for.
    """
    pinned = tensor.pin_memory() if torch.device(device).type == "cuda" else tensor
    return pinned.to(device=device, dtype=dtype, non_blocking=True)


def tensor_like(values: Sequence[object], other: Tensor) -> Tensor:
    """Numbers, nested or not, as a tensor in the format and on the device of another."""
    return moved(torch.tensor(values, dtype=other.dtype), other.device)

"""How networks of metrics compute: float32 without TF32 or autocast, deterministic kernels, no gradients.

Frechet distances move in the third digit between graphics cards otherwise (djghosh13/geneval#15, torchmetrics#1620).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, device

NUMBERS = 2**24


def on_host(device: device) -> bool:
    """Whether images are looked at on the host: on the CPU, and on a device that has no float64."""
    return device.type in ("cpu", "mps")


def parts(images: Tensor) -> Iterator[Tensor]:
    """Some images at a time, so that in float64 they take 128 MiB at most, if one does."""
    return iter(images.split(max(1, NUMBERS // images[:1].numel())))


@contextmanager
def full_precision(device: str | device) -> Iterator[None]:
    """Whatever the host has switched on, inside it is off; afterwards it is as before."""
    import torch

    kind = torch.device(device).type
    autocast = torch.autocast(kind if torch.amp.is_autocast_available(kind) else "cpu", enabled=False)
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), autocast, flags:
            yield
    finally:
        torch.set_float32_matmul_precision(precision)

"""A network of diffusers that is told the time with noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from ...plugins.replaced import forward_replaced
from ...samplers.level import Level
from ...samplers.moved import moved, tensor_like
from ...samplers.own_noise import own_noise
from ...samplers.perturbation import NoisyTime
from ..protocols import SEEDS, Condition
from .memory import Rows

NAMES = ("time_embedding", "timestep_embedder")


def noisy_time(model: Any, change: NoisyTime) -> Callable[[Tensor, Sequence[Level], Condition], Tensor]:
    """
    Raises:
        ValueError: for a network without a known embedding of the time.
    """
    modules = [module for name, module in model.network.named_modules() if name.rsplit(".", 1)[-1] in NAMES]
    if not modules:
        raise ValueError(f"{change} needs a network with {' or '.join(NAMES)}, not {type(model.network).__name__}")
    memory = getattr(model, "memory", None) or Rows(model.id)

    def denoise(x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        def evaluate(part: slice) -> Tensor:
            own = {name: rows[part] for name, rows in condition.items()}
            seeds = own.pop(SEEDS).tolist()
            scales = [change.noise * model.schedule.time(level) ** change.power for level in levels[part]]
            with ExitStack() as stack:
                for module in modules:
                    told = _told(module, seeds, levels[part], scales)
                    stack.enter_context(forward_replaced(module, told))
                return model.denoise(x[part], levels[part], own)

        return memory(len(x), evaluate)

    return denoise


def _told(
    module: nn.Module, seeds: Sequence[int], levels: Sequence[Level], scales: Sequence[float]
) -> Callable[..., Tensor]:
    usual = module.forward

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        told = usual(*args, **kwargs)
        noise = own_noise(seeds, levels, "time", told.shape[1:])
        return told + tensor_like(scales, told).view(-1, *[1] * (told.ndim - 1)) * moved(noise, told.device, told.dtype)

    return forward

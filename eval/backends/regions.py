"""A network of diffusers that also says which word each part of the image attends to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...plugins.replaced import forward_replaced, with_attention
from ...samplers import attention
from ...samplers.attended_regions import regions, words
from ...samplers.layer_names import middle, select
from ...samplers.level import Level
from ...samplers.perturbation import AttendedRegions
from ..protocols import Condition
from .layers import Layer, layers_of
from .memory import Rows


def attended_regions(model: Any, change: AttendedRegions) -> Callable[[Tensor, Sequence[Level], Condition], Tensor]:
    """
    Raises:
        ValueError: for layers that there are not, and for those without self-attention and cross-attention.
    """
    layers = {layer.name: layer for layer in layers_of(model.network)}
    names = select(list(layers), change.layers) if change.layers else middle(list(layers))
    watched = [layers[name] for name in names]
    if len(model.shape) != 3 or not all(layer.cross_attention and layer.self_attention for layer in watched):
        raise ValueError(f"{change} needs blocks with self-attention and cross-attention, not {', '.join(names)}")
    memory = getattr(model, "memory", None) or Rows(model.id)

    def denoise(x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        def evaluate(part: slice) -> Tensor:
            own = {name: rows[part] for name, rows in condition.items()}
            with ExitStack() as stack:
                maps = [_watch(layer, stack) for layer in watched]
                x0 = model.denoise(x[part], levels[part], own)
            found = regions([words(spread[0], attended[0], model.shape) for spread, attended in maps])
            return torch.cat([x0, interpolate(found, x0.shape[-2:]).to(x0)], 1)

        return memory(len(x), evaluate)

    return denoise


def _watch(layer: Layer, stack: ExitStack) -> tuple[list[Tensor], list[Tensor]]:
    """Where its self-attention and its cross-attention will be, (B, places, places) and (B, places, words)."""
    own: list[Tensor] = []
    attended: list[Tensor] = []
    for module, kept in ((layer.self_attention[0], own), (layer.cross_attention, attended)):
        assert module is not None
        watching = with_attention(module.forward, attention.probabilities(kept.append), layer.name)
        stack.enter_context(forward_replaced(module, watching))
    return own, attended

"""A network of diffusers that also says which word each part of the image attends to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...plugins.replaced import forward_replaced, with_attention
from ...samplers import attention
from ...samplers.guidance.blur import blurred
from ...samplers.layer_names import middle, select
from ...samplers.level import Level
from ...samplers.perturbation import AttendedRegions
from ..protocols import Condition
from .layers import Layer, layers_of
from .memory import Rows

POWERS = 4


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
            found = _regions([_words(spread[0], words[0], model.shape) for spread, words in maps])
            return torch.cat([x0, interpolate(found, x0.shape[-2:]).to(x0)], 1)

        return memory(len(x), evaluate)

    return denoise


def _watch(layer: Layer, stack: ExitStack) -> tuple[list[Tensor], list[Tensor]]:
    """Where its self-attention and its cross-attention will be, (B, places, places) and (B, places, words)."""
    own: list[Tensor] = []
    words: list[Tensor] = []
    for module, kept in ((layer.self_attention[0], own), (layer.cross_attention, words)):
        assert module is not None
        watching = with_attention(module.forward, attention.probabilities(kept.append), layer.name)
        stack.enter_context(forward_replaced(module, watching))
    return own, words


def _words(spread: Tensor, words: Tensor, shape: Sequence[int]) -> Tensor:
    """Cross-attention spread to places that belong together, (B, words, rows, columns)."""
    powers = [reduce(torch.matmul, [spread] * k) for k in range(1, POWERS + 1)]
    maps = (torch.stack(powers).mean(0) @ words).mT
    return maps.unflatten(-1, attention.grid(shape, maps.shape[-1]))


def _regions(layers: Sequence[Tensor]) -> Tensor:
    """The word of each place and whether it is seen, (B, 2, rows, columns), on the finest of their grids."""
    finest = max((maps.shape[-2:] for maps in layers), key=lambda size: size[0] * size[1])
    smooth = [blurred(interpolate(maps, finest, mode="bilinear"), 0.5, 1) for maps in layers]
    even = torch.stack([_even(maps) for maps in smooth]).sum(0)
    start, text = (torch.stack([_even(kind(maps)) for maps in smooth]).sum(0) for kind in (_start, _text))
    return torch.cat([even.argmax(1, keepdim=True), text > start], 1).float()


def _even(maps: Tensor) -> Tensor:
    """Each over its mean."""
    return maps / maps.mean((2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)


def _start(maps: Tensor) -> Tensor:
    return maps[:, :1]


def _text(maps: Tensor) -> Tensor:
    return maps[:, 1:].sum(1, keepdim=True)

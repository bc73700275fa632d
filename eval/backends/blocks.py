"""What transformer blocks and their cross-attention do instead of what they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...plugins.replaced import with_attention
from ...samplers import attention
from ...samplers.level import Level
from ...samplers.moved import moved
from ...samplers.perturbation import NormalizedAttention
from .layers import IMAGE_ALONE, Layer

STATES = "encoder_hidden_states"

Forward = Callable[..., Any]


def skipped(layer: Layer) -> Forward:
    """A block that passes its input on; of two streams the text comes first."""

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        if layer.sequence == IMAGE_ALONE or layer.joined:
            return hidden_states
        return (args[0] if args else kwargs[STATES]), hidden_states

    return forward


def shuffled(layer: Layer, image: slice, levels: Sequence[Level]) -> Forward:
    """A block that gets the tokens of the image in a random order, another one for each level."""
    usual = layer.block.forward

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        own = hidden_states[:, image]
        orders = torch.stack([attention.order(layer.name, own.shape[1], level.ve_sigma) for level in levels])
        mixed = hidden_states.clone()
        mixed[:, image] = own.gather(1, moved(orders, own.device)[..., None].expand_as(own))
        return usual(mixed, *args, **kwargs)

    return forward


def led_away(layer: Layer, against: Tensor, change: NormalizedAttention) -> Forward:
    """A cross-attention that is led away from the one to the text ``against``."""
    usual = layer.cross_attention.forward  # type: ignore[union-attr]

    def forward(hidden_states: Tensor, encoder_hidden_states: Tensor, **kwargs: Any) -> Tensor:
        found: list[Tensor] = []

        def keep(**arguments: Any) -> Tensor:
            found.append(attention.dense(**arguments))
            return found[0]

        with_attention(usual, keep, layer.name)(hidden_states, against.to(encoder_hidden_states), **kwargs)
        instead = attention.away_from(found[0], change.scale, change.tau, change.alpha)
        return with_attention(usual, instead, layer.name)(hidden_states, encoder_hidden_states, **kwargs)

    return forward

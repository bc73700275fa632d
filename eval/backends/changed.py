"""A loaded model of diffusers with something inside its network changed, as ``samplers.perturbation`` describes it.

The network is left as it is: its layers work in another way while the changed model denoises, and no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ...plugins.replaced import forward_replaced, with_attention
from ...samplers import attention
from ...samplers.layer_names import chosen
from ...samplers.level import Level
from ...samplers.perturbation import (
    BlurredQueries,
    Change,
    IdentityAttention,
    NetworkChange,
    NormalizedAttention,
    ShuffledTokens,
    SkippedLayers,
    SparseCrossAttention,
    WatchedAttention,
    WeakModel,
)
from ..protocols import AGAINST, Condition, Model
from . import blocks
from .layers import IMAGE_ALONE, IMAGE_FIRST, Layer, layers_of
from .memory import Rows
from .otherwise import otherwise
from .weak import weak_model


def perturbed(model: Any, change: Change) -> Model:
    """The model with that change; cheap, but for a weak model, which is loaded.

    Raises:
        ValueError: if it cannot be made in this model, with the reason.
    """
    if isinstance(change, WeakModel):
        return weak_model(model, change)
    if not isinstance(change, NetworkChange):
        return otherwise(model, change)
    layers = layers_of(model.network)
    names = chosen([layer.name for layer in layers], change)
    layers = [layer for layer in layers if layer.name in names]
    _check(model, change, layers)
    return Changed(model, change, layers)


class Changed:
    """A model whose network works in another way while it denoises; all else is the model's."""

    def __init__(self, model: Any, change: NetworkChange, layers: list[Layer]) -> None:
        self.model, self.change, self.layers = model, change, layers
        self.id, self.schedule, self.prediction, self.shape = model.id, model.schedule, model.prediction, model.shape
        self.network: nn.Module = model.network
        self.encode, self.decode = model.encode, model.decode
        self.memory = getattr(model, "memory", None) or Rows(model.id)

    @torch.no_grad()
    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x] by the changed network, one level per row; a watched one has a channel more."""

        def evaluate(part: slice) -> Tensor:
            return self._denoise(x[part], levels[part], {name: rows[part] for name, rows in condition.items()})

        return self.memory(len(x), evaluate)

    def _denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        own = {name: rows for name, rows in condition.items() if not name.startswith(AGAINST)}
        watched: list[Tensor] = []
        against = condition[AGAINST + blocks.STATES] if isinstance(self.change, NormalizedAttention) else None
        with self._at_work(levels, against, watched):
            x0 = self.model.denoise(x, levels, own)
        if not watched:
            return x0
        maps = watched[0].unflatten(-1, attention.grid(self.shape, watched[0].shape[-1])).unsqueeze(1)
        return torch.cat([x0, interpolate(maps, x0.shape[-2:]).to(x0)], 1)

    @contextmanager
    def _at_work(self, levels: Sequence[Level], against: Tensor | None, watched: list[Tensor]) -> Iterator[None]:
        with ExitStack() as stack:
            for layer in self.layers:
                for module, forward in self._forwards(layer, levels, against, watched):
                    stack.enter_context(forward_replaced(module, forward))
            yield

    def _forwards(
        self, layer: Layer, levels: Sequence[Level], against: Tensor | None, watched: list[Tensor]
    ) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
        """The modules of a layer that are changed, with what they do instead."""
        change, block = self.change, layer.block
        if isinstance(change, SkippedLayers):
            yield block, blocks.skipped(layer)
        elif isinstance(change, ShuffledTokens):
            yield block, blocks.shuffled(layer, self._image(layer, block), levels)
        elif isinstance(change, NormalizedAttention):
            if layer.cross_attention is not None and against is not None:
                yield layer.cross_attention, blocks.led_away(layer, against, change)
        elif isinstance(change, SparseCrossAttention):
            if layer.cross_attention is not None:
                instead = attention.sparse(change.scale, change.alpha)
                yield layer.cross_attention, with_attention(layer.cross_attention.forward, instead, layer.name)
        else:
            for module in layer.self_attention:
                instead = self._self_attention(layer, module, watched)
                yield module, with_attention(module.forward, instead, layer.name)

    def _self_attention(self, layer: Layer, module: nn.Module, watched: list[Tensor]) -> attention.Attention:
        image = self._image(layer, module)
        if isinstance(self.change, IdentityAttention):
            return attention.identity(image)
        if isinstance(self.change, BlurredQueries):
            return attention.blurred(image, self.change.sigma, partial(attention.grid, self.shape))
        return attention.received(watched.append)

    def _image(self, layer: Layer, module: nn.Module) -> slice:
        """Which tokens are those of the image, of what a block or a self-attention is given."""
        if layer.sequence == IMAGE_ALONE or module is getattr(layer.block, "attn2", None):
            return slice(None)
        if module is layer.block and not layer.joined:
            return slice(None)
        patch = self.network.config.get("patch_size") or 1  # type: ignore[union-attr, operator]
        tokens = self.shape[0] if len(self.shape) == 2 else (self.shape[-2] // patch) * (self.shape[-1] // patch)
        return slice(0, tokens) if layer.sequence == IMAGE_FIRST else slice(-tokens, None)


def _check(model: Any, change: NetworkChange, layers: list[Layer]) -> None:
    network, names = type(model.network).__name__, ", ".join(layer.name for layer in layers)
    cross = isinstance(change, (SparseCrossAttention, NormalizedAttention))
    if cross and not any(layer.cross_attention for layer in layers):
        raise ValueError(f"{network} has no cross-attention, which {change} changes")
    if isinstance(change, NormalizedAttention) and (
        getattr(model.network, "down_blocks", None) is None or getattr(model.network, "encoder_hid_proj", None)
    ):
        raise ValueError(f"{change} needs a U-Net whose cross-attention sees the text's states, not {network}")
    watched = isinstance(change, WatchedAttention)
    if watched and (len(layers) > 1 or layers[0].sequence != IMAGE_ALONE or not layers[0].self_attention):
        raise ValueError(f"one self-attention of the image alone can be watched, not {names} of {network}")
    blurred = isinstance(change, BlurredQueries) and change.sigma is not None
    if (blurred or watched) and len(model.shape) != 3:
        raise ValueError(f"x of shape {model.shape} has no rows and columns, which {change} needs")

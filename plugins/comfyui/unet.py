"""Changes inside ComfyUI's U-Nets (Stable Diffusion 1 to XL): by its attention patches, or around a call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from torch import Tensor

from ...samplers import attention
from ...samplers.perturbation import (
    BlurredQueries,
    IdentityAttention,
    NormalizedAttention,
    ShuffledTokens,
    SkippedLayers,
    SparseCrossAttention,
)
from ..replaced import forward_replaced
from .layers import Layer
from .work import Options, Work, around, replaced

EVERYTHING = slice(None)

Patch = Callable[..., Tensor]
"""ComfyUI's replacement of an attention: (q, k, v, extra_options), heads side by side in the last dimension."""


def options(given: Options, work: Work) -> Options:
    """The transformer options by which ComfyUI makes the change."""
    if isinstance(work.change, (SkippedLayers, ShuffledTokens)):
        return around(given, partial(_around, work))
    if isinstance(work.change, (SparseCrossAttention, NormalizedAttention)):
        earlier = given.get("patches_replace", {}).get("attn2", {})
        crossing = [layer for layer in work.layers if _block(work, layer).attn2 is not None]
        cross = {layer.place: _cross_attention(work, layer, earlier) for layer in crossing}
        return replaced(given, "attn2", cross)
    return replaced(given, "attn1", {layer.place: _self_attention(work, layer) for layer in work.layers})


def _self_attention(work: Work, layer: Layer) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
        work.served.add(layer.name)
        if isinstance(work.change, IdentityAttention):
            return v
        shape = extra["original_shape"]
        if isinstance(work.change, BlurredQueries):
            instead = attention.blurred(EVERYTHING, work.change.sigma, partial(attention.grid, shape))
        else:
            check_whole(work.shape, shape)
            instead = attention.received(work.watched.append)
        return by_heads(instead, q, k, v, extra["n_heads"])

    return patch


def check_whole(whole: tuple[int, ...], shape: list[int]) -> None:
    """
    Raises:
        ValueError: for a call of the network with anything but the whole x, once.
    """
    if shape != list(whole):
        raise ValueError(
            "the attention of a conditioning of several parts or for an area cannot be watched: connect a single one "
            "for the whole image"
        )


def _cross_attention(work: Work, layer: Layer, patches: dict[Any, Patch]) -> Patch:
    """What another pack put in its place stays, and is changed by as much."""
    earlier = patches.get(layer.place) or patches.get(layer.place[:2])

    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
        work.served.add(layer.name)
        heads = extra["n_heads"]
        changed = by_heads(_instead(work, layer, q, heads), q, k, v, heads)
        if earlier is None:
            return changed
        return earlier(q, k, v, extra) + changed - by_heads(attention.dense, q, k, v, heads)

    return patch


def _instead(work: Work, layer: Layer, q: Tensor, heads: int) -> attention.Attention:
    change = work.change
    if isinstance(change, SparseCrossAttention):
        return attention.sparse(change.scale, change.alpha)
    assert isinstance(change, NormalizedAttention)
    assert work.against is not None
    module, states = _block(work, layer).attn2, work.against.to(q)
    states = states.repeat(len(q) // len(states), 1, 1)
    other = by_heads(attention.dense, q, module.to_k(states), module.to_v(states), heads)
    return attention.away_from(_split(other, heads), change.scale, change.tau, change.alpha)


def by_heads(function: attention.Attention, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    query, key, value = (_split(t, heads) for t in (q, k, v))
    return function(query=query, key=key, value=value).transpose(1, 2).flatten(2)


def _split(t: Tensor, heads: int) -> Tensor:
    return t.unflatten(-1, (heads, -1)).transpose(1, 2)


def _around(work: Work, executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Around a call of the network: blocks work in another way meanwhile."""
    with ExitStack() as stack:
        for layer in work.layers:
            block = executor.class_obj.get_submodule(layer.path)
            stack.enter_context(forward_replaced(block, partial(_block_instead, work, layer, block.forward)))
        return executor(*args, **kwargs)


def _block_instead(work: Work, layer: Layer, usual: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Any:
    work.served.add(layer.name)
    if isinstance(work.change, SkippedLayers):
        return x
    return usual(work.shuffled(layer, x), *args, **kwargs)


def _block(work: Work, layer: Layer) -> Any:
    return work.network.get_submodule(layer.path)

"""Which word each part of the image attends to in ComfyUI's U-Nets, seen by its attention patches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...samplers import attention
from ...samplers.attended_regions import regions, words
from ...samplers.layer_names import middle, select
from ...samplers.perturbation import AttendedRegions
from .dit import architecture
from .layers import Layer, is_unet, layers_of
from .unet import Patch, by_heads, check_whole
from .work import Options, replaced

KINDS = ("attn1", "attn2")
"""ComfyUI's names for self-attention and cross-attention."""


class Regions:
    """What the attentions of one call of a network have shown.

    Raises:
        ValueError: for a network that is no U-Net, layers that there are not, and those without both attentions.
    """

    def __init__(self, network: Any, change: AttendedRegions, shape: tuple[int, ...]) -> None:
        if not is_unet(network) or len(shape) != 4:
            raise ValueError(f"{architecture(network)} is no U-Net, and this watches the attention of U-Nets alone")
        layers = {layer.name: layer for layer in layers_of(network)}
        try:
            names = select(list(layers), change.layers) if change.layers else middle(list(layers))
        except ValueError as error:
            raise ValueError(f"layers: {error}") from None
        self.layers, self.shape = [layers[name] for name in names], shape
        for layer in self.layers:
            block = network.get_submodule(layer.path)
            if block.attn2 is None or block.disable_self_attn:
                raise ValueError(f"layers: {layer.name} has not both self-attention and cross-attention")
        self._seen: dict[tuple[str, str], Tensor] = {}

    def options(self, given: Options) -> Options:
        """The transformer options by which ComfyUI shows its attentions; those that other packs put there stay."""
        for kind in KINDS:
            earlier = given.get("patches_replace", {}).get(kind, {})
            patches = {layer.place: self._watching(kind, layer, earlier) for layer in self.layers}
            given = replaced(given, kind, patches)
        return given

    def beside(self, x0: Tensor) -> Tensor:
        """x0 with two channels more, the word of each place and whether it is seen."""
        maps = [self._words(layer.name) for layer in self.layers]
        return torch.cat([x0, interpolate(regions(maps), x0.shape[-2:]).to(x0)], 1)

    def _words(self, name: str) -> Tensor:
        spread, attended = (self._seen[kind, name] for kind in KINDS)
        return words(spread, attended, self.shape)

    def _watching(self, kind: str, layer: Layer, patches: dict[Any, Patch]) -> Patch:
        earlier = patches.get(layer.place) or patches.get(layer.place[:2])

        def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
            check_whole(self.shape, extra["original_shape"])
            keep: Callable[[Tensor], None] = partial(self._seen.__setitem__, (kind, layer.name))
            usual = by_heads(attention.probabilities(keep), q, k, v, extra["n_heads"])
            return usual if earlier is None else earlier(q, k, v, extra)

        return patch

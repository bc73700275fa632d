"""One evaluation of a network with a change in it: what is changed where, and what was seen meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...samplers.attention import order
from ...samplers.level import Level
from ...samplers.perturbation import NetworkChange
from .layers import Layer

KEY = "sigmabench_change"
Options = dict[str, Any]
"""ComfyUI's transformer_options."""


@dataclass
class Work:
    """
    Attributes:
        levels: of the rows of x.
        against: states of the text that the change leads away from, (B, tokens, features).
        served: names of the layers in which the change was made.
        watched: what the watched attention gave, (rows, tokens).
    """

    network: Any
    change: NetworkChange
    layers: list[Layer]
    shape: tuple[int, ...]
    levels: list[Level]
    against: Tensor | None = None
    served: set[str] = field(default_factory=set)
    watched: list[Tensor] = field(default_factory=list)

    def shuffled(self, layer: Layer, tokens: Tensor) -> Tensor:
        """The tokens (rows, N, features), in another order for each level; of several texts the batch is repeated."""
        levels = self.levels * (len(tokens) // len(self.levels))
        orders = torch.stack([order(layer.name, tokens.shape[1], level.ve_sigma) for level in levels])
        return tokens.gather(1, orders.to(tokens.device)[..., None].expand_as(tokens))


def replaced(options: Options, kind: str, patches: Mapping[Any, Callable[..., Any]]) -> Options:
    """The options with these patches in place of those of the same blocks."""
    all_kinds = options.get("patches_replace", {})
    return {**options, "patches_replace": {**all_kinds, kind: {**all_kinds.get(kind, {}), **patches}}}


def around(options: Options, wrapper: Callable[..., Any], call: str = "diffusion_model") -> Options:
    """The options with this wrapper around each call of the network, or of the model that has it."""
    wrappers = options.get("wrappers", {})
    ours = {**wrappers.get(call, {}), KEY: [wrapper]}
    return {**options, "wrappers": {**wrappers, call: ours}}

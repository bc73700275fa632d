"""Changes inside ComfyUI's transformers (SD3, Flux, Wan, LTX ...), by its patches of their blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...samplers import attention
from ...samplers.perturbation import BlurredQueries, IdentityAttention, NetworkChange, ShuffledTokens, SkippedLayers
from .layers import Layer
from .work import Options, Work, replaced

TEXT_FIRST, IMAGE_ALONE = "text first", "image alone"
SEQUENCES = {"MMDiT": TEXT_FIRST, "Flux": TEXT_FIRST, "WanModel": IMAGE_ALONE, "LTXVModel": IMAGE_ALONE}
"""What the self-attention of a block sees, by the class of the network."""
FIRST = ("double_block", 0)

Arguments = dict[str, Any]
Patch = Callable[[Arguments, dict[str, Any]], Any]
"""ComfyUI's replacement of a block: its arguments, and the block to call with them."""


def architecture(network: Any) -> str:
    """The class of a network, or the known one that it is derived from."""
    names = [cls.__name__ for cls in type(network).__mro__]
    return next((name for name in names if name in SEQUENCES), names[0])


def options(given: Options, work: Work) -> Options:
    """The transformer options by which ComfyUI makes the change."""
    earlier = given.get("patches_replace", {}).get("dit", {})
    tokens: list[int] = []
    patches = {layer.place: _patch(work, layer, earlier.get(layer.place), tokens) for layer in work.layers}
    if any(layer.place[0] == "single_block" for layer in work.layers):
        patches[FIRST] = _noting(tokens, patches.get(FIRST, earlier.get(FIRST)))
    return replaced(given, "dit", patches)


def check(network: Any, change: NetworkChange, dimensions: int) -> None:
    """
    Raises:
        ValueError: for a change that cannot be made in this network, or for x of so many dimensions.
    """
    name = architecture(network)
    if not isinstance(change, (IdentityAttention, BlurredQueries, SkippedLayers, ShuffledTokens)):
        raise ValueError(f"{name} is no U-Net, and this changes the attention of U-Nets alone")
    if isinstance(change, (IdentityAttention, BlurredQueries)) and name not in SEQUENCES:
        raise ValueError(
            f"in the self-attention of {name} the image cannot be told from the text; legal are U-Nets and "
            f"{', '.join(SEQUENCES)}; use slg, which skips blocks, for this model"
        )
    if isinstance(change, BlurredQueries) and change.sigma is not None and dimensions != 4:
        raise ValueError(f"sigma: {dimensions - 2}-dimensional latents are blurred by their mean alone; use -1")


def _patch(work: Work, layer: Layer, earlier: Patch | None, tokens: list[int]) -> Patch:
    def patch(arguments: Arguments, extra: dict[str, Any]) -> Any:
        work.served.add(layer.name)
        if isinstance(work.change, SkippedLayers):
            return arguments
        if not isinstance(arguments["img"], Tensor):
            raise ValueError(
                f"blocks of {architecture(work.network)} have more than an image; use slg, which skips them"
            )
        original = extra["original_block"] if earlier is None else partial(_called, earlier, extra)
        image = arguments["img"].shape[1] if layer.place[0] == "double_block" else tokens[0]
        if isinstance(work.change, ShuffledTokens):
            text, own = arguments["img"].tensor_split([arguments["img"].shape[1] - image], 1)
            return original({**arguments, "img": torch.cat([text, work.shuffled(layer, own)], 1)})
        override = SelfAttention(work, layer, image)
        transformer = {**arguments["transformer_options"], "optimized_attention_override": override}
        answer = original({**arguments, "transformer_options": transformer})
        if not override.made:
            raise ValueError(f"the attention of block {layer.name} of {architecture(work.network)} is not ComfyUI's")
        return answer

    return patch


def _called(earlier: Patch, extra: dict[str, Any], arguments: Arguments) -> Any:
    return earlier(arguments, extra)


def _noting(tokens: list[int], patch: Patch | None) -> Patch:
    """Another patch, or none, that notes how many tokens are those of the image, while it is by itself."""

    def noting(arguments: Arguments, extra: dict[str, Any]) -> Any:
        tokens[:] = [arguments["img"].shape[1]]
        return extra["original_block"](arguments) if patch is None else patch(arguments, extra)

    return noting


class SelfAttention:
    """In place of ComfyUI's attention function while a block is called: its self-attention in another way."""

    def __init__(self, work: Work, layer: Layer, image: int) -> None:
        self.work, self.layer, self.image, self.made = work, layer, image, False

    def __call__(
        self, function: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None,
        *args: Any, skip_reshape: bool = False, skip_output_reshape: bool = False, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        split = [t if skip_reshape else t.reshape(len(t), t.shape[1], heads, -1).transpose(1, 2) for t in (q, k, v)]
        if not self._itself(*split[:2]):
            more = {"skip_reshape": skip_reshape, "skip_output_reshape": skip_output_reshape, **kwargs}
            return function(q, k, v, heads, mask, *args, **more)
        self.made = True
        instead = self._instead(split[0].shape[2])
        found = instead(**dict(zip(("query", "key", "value"), split, strict=True)), attn_mask=_broadcast(mask))
        return found if skip_output_reshape else found.transpose(1, 2).flatten(2)

    def _itself(self, query: Tensor, key: Tensor) -> bool:
        """Of blocks that see the image alone only the first attention is: the next one is to the text."""
        alone = SEQUENCES[architecture(self.work.network)] == IMAGE_ALONE
        return query.shape[2] == key.shape[2] and not (alone and self.made)

    def _instead(self, tokens: int) -> attention.Attention:
        image, change = slice(tokens - self.image, None), self.work.change
        if isinstance(change, IdentityAttention):
            return attention.identity(image)
        assert isinstance(change, BlurredQueries)
        return attention.blurred(image, change.sigma, partial(attention.grid, self.work.shape))


def _broadcast(mask: Tensor | None) -> Tensor | None:
    """(tokens, tokens), (B, tokens, tokens) or with heads already, to all four dimensions."""
    if mask is None or mask.ndim == 4:
        return mask
    return mask[:, None] if mask.ndim == 3 else mask[None, None]

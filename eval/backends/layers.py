"""The transformer blocks of diffusers' networks, by names that users of each architecture know.

U-Nets          "down.1.0.0", "mid.0.0", "up.2.1.0": stage, attention, block
transformers    "0", "1", ... and, of those with blocks of a single stream too, "single.0", ...
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

IMAGE_FIRST, TEXT_FIRST, IMAGE_ALONE = "image first", "text first", "image alone"

SEQUENCES = {
    "BasicTransformerBlock": IMAGE_ALONE,
    "JointTransformerBlock": IMAGE_FIRST,
    "FluxTransformerBlock": TEXT_FIRST,
    "FluxSingleTransformerBlock": TEXT_FIRST,
    "ChromaTransformerBlock": TEXT_FIRST,
    "ChromaSingleTransformerBlock": TEXT_FIRST,
}
"""What its self-attention sees, by the class of a block."""
JOINED = ("ChromaSingleTransformerBlock",)
"""Blocks that are given text and image as one sequence, and return it."""


class Layer(NamedTuple):
    """One transformer block."""

    name: str
    block: nn.Module

    @property
    def sequence(self) -> str:
        return SEQUENCES[type(self.block).__name__]

    @property
    def joined(self) -> bool:
        return type(self.block).__name__ in JOINED

    @property
    def self_attention(self) -> list[nn.Module]:
        block: Any = self.block
        if self.sequence == IMAGE_ALONE:
            return [] if block.only_cross_attention else [block.attn1]
        return [block.attn, block.attn2] if getattr(block, "attn2", None) is not None else [block.attn]

    @property
    def cross_attention(self) -> nn.Module | None:
        return getattr(self.block, "attn2", None) if self.sequence == IMAGE_ALONE else None


def layers_of(network: nn.Module) -> list[Layer]:
    """
    Raises:
        ValueError: for a network none of whose blocks is of a known class, naming it and them.
    """
    found = list(_unet(network) if hasattr(network, "down_blocks") else _transformer(network))
    known = [layer for layer in found if type(layer.block).__name__ in SEQUENCES]
    if not known:
        blocks = sorted({type(layer.block).__name__ for layer in found}) or "no transformer blocks"
        raise ValueError(
            f"{type(network).__name__} has {blocks}, which cannot be changed; legal are {', '.join(SEQUENCES)}"
        )
    return known


def _unet(network: Any) -> Iterator[Layer]:
    stages = [(f"down.{i}", stage) for i, stage in enumerate(network.down_blocks)]
    stages += [("mid", network.mid_block)] if network.mid_block is not None else []
    stages += [(f"up.{i}", stage) for i, stage in enumerate(network.up_blocks)]
    for name, stage in stages:
        for j, attention in enumerate(getattr(stage, "attentions", None) or ()):
            for k, block in enumerate(getattr(attention, "transformer_blocks", ())):
                yield Layer(f"{name}.{j}.{k}", block)


def _transformer(network: Any) -> Iterator[Layer]:
    for attribute, prefix in (("transformer_blocks", ""), ("single_transformer_blocks", "single.")):
        for i, block in enumerate(getattr(network, attribute, None) or ()):
            yield Layer(f"{prefix}{i}", block)

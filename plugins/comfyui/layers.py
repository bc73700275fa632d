"""The transformer blocks of ComfyUI's networks, by the names of ``samplers.layer_names``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

DOUBLE = ("joint_blocks", "double_blocks", "transformer_blocks", "double_layers", "blocks")
"""Where transformers keep the blocks that ComfyUI patches as "double_block"; the others are "single_block"."""
SINGLE = ("single_blocks", "single_layers")


class Layer(NamedTuple):
    """One block: its name, how ComfyUI's patches call it, and the module within the network."""

    name: str
    place: tuple[Any, ...]
    """("input" | "middle" | "output", number, block) of a U-Net, ("double_block" | "single_block", number) else."""
    path: str


def is_unet(network: Any) -> bool:
    return hasattr(network, "input_blocks") and hasattr(network, "output_blocks")


def layers_of(network: Any) -> list[Layer]:
    """
    Raises:
        ValueError: for a network without transformer blocks, naming it.
    """
    found = list(_unet(network) if is_unet(network) else _transformer(network))
    if not found:
        raise ValueError(f"{type(network).__name__} has no transformer blocks that ComfyUI can patch")
    return found


def _unet(network: Any) -> Iterator[Layer]:
    yield from _way(network.input_blocks, "input", "down", "Downsample")
    if network.middle_block is not None:
        yield from _blocks(network.middle_block, "middle_block", ("middle", 0), "mid.0")
    yield from _way(network.output_blocks, "output", "up", "Upsample")


def _way(parts: Any, place: str, name: str, ends: str) -> Iterator[Layer]:
    """Down or up: a stage ends with the module that changes the size."""
    stage = attention = 0
    for i, part in enumerate(parts):
        found = list(_blocks(part, f"{place}_blocks.{i}", (place, i), f"{name}.{stage}.{attention}"))
        yield from found
        attention += bool(found)
        if any(type(module).__name__ == ends for module in part):
            stage, attention = stage + 1, 0


def _blocks(part: Any, path: str, place: tuple[str, int], name: str) -> Iterator[Layer]:
    for i, module in enumerate(part):
        for k in range(len(getattr(module, "transformer_blocks", ()))):
            yield Layer(f"{name}.{k}", (*place, k), f"{path}.{i}.transformer_blocks.{k}")


def _transformer(network: Any) -> Iterator[Layer]:
    for attributes, kind, prefix in ((DOUBLE, "double_block", ""), (SINGLE, "single_block", "single.")):
        attribute = next((name for name in attributes if hasattr(network, name)), "")
        for i in range(len(getattr(network, attribute, ()))):
            yield Layer(f"{prefix}{i}", (kind, i), f"{attribute}.{i}")

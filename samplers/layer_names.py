"""Which layers of a network a change is made in, by their names.

U-Nets          "down.1.0.0", "mid.0.0", "up.2.1.0": stage, attention, block
transformers    "0", "1", ... and, of those with blocks of a single stream too, "single.0", ...
"""

from __future__ import annotations

from collections.abc import Sequence

from .perturbation import (
    NetworkChange,
    NormalizedAttention,
    ShuffledTokens,
    SparseCrossAttention,
    WatchedAttention,
)


def chosen(names: Sequence[str], change: NetworkChange) -> list[str]:
    """The layers of a network with these that the change is made in.

    Raises:
        ValueError: for a layer that there is not.
    """
    if isinstance(change, WatchedAttention):
        return select(names, change.layer)
    if isinstance(change, (SparseCrossAttention, NormalizedAttention)):
        return list(names)
    if change.layers:
        return select(names, change.layers)
    return deepest_down(names) if isinstance(change, ShuffledTokens) else middle(names)


def select(names: Sequence[str], text: str) -> list[str]:
    """Those that the names in ``text`` begin, in their order.

    Raises:
        ValueError: for a name that stands for none, with the names that there are.
    """
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if not any(_stands_for(name, layer) for layer in names):
            raise ValueError(f"no layer {name!r}; there are {', '.join(names)}")
    return [layer for layer in names if any(_stands_for(name, layer) for name in wanted)]


def middle(names: Sequence[str]) -> list[str]:
    """Where a U-Net is narrowest; the blocks from 7/24 to 9/24 of a transformer, which are 7, 8, 9 of SD3.5 medium."""
    mid = [name for name in names if name.startswith("mid.")]
    numbered = [name for name in names if name.isdigit()]
    return mid or numbered[len(numbered) * 7 // 24 : len(numbered) * 9 // 24 + 1] or list(names[-1:])


def deepest_down(names: Sequence[str]) -> list[str]:
    """The last stage of a U-Net's way down that has transformer blocks; elsewhere as ``middle``."""
    stages = [name.split(".")[:2] for name in names if name.startswith("down.")]
    return [name for name in names if name.split(".")[:2] == stages[-1]] if stages else middle(names)


def _stands_for(name: str, layer: str) -> bool:
    return bool(name) and f"{layer}.".startswith(f"{name}.")

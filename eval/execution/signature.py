"""What a call has to share with another one to be answered by what was made for that."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

PLAIN = (bool, int, float, str, type(None), torch.dtype)


class Call(NamedTuple):
    """Arguments apart: their tensors, and all else."""

    tensors: list[Tensor]
    signature: Hashable
    """Shapes and formats of the tensors, the other values, and how they are nested."""
    leaves: list[Any]
    tree: TreeSpec

    def arguments(self, tensors: list[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with other tensors in the places of these."""
        own = iter(tensors)
        return tree_unflatten([next(own) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves], self.tree)


def call_of(args: tuple[Any, ...], kwargs: dict[str, Any], device: torch.device) -> Call | None:
    """The call, or None if its answer may depend on what no signature says: a tensor elsewhere, an object."""
    leaves, tree = tree_flatten((args, kwargs))
    found: list[Hashable] = []
    for leaf in leaves:
        if isinstance(leaf, Tensor) and leaf.device == device:
            found.append((leaf.shape, leaf.dtype))
        elif type(leaf) in PLAIN:
            found.append((type(leaf), leaf))
        else:
            return None
    return Call([leaf for leaf in leaves if isinstance(leaf, Tensor)], (tree, *found), leaves, tree)

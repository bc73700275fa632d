"""Operations on whole images and the images that they read and write: exact numbers, whatever else the machine does.

They are what a step costs where images are large, since each operation moves them through memory. What is smaller than
the batch, such as a level on the device, is not counted: it favours peers whose coefficients are tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

UNTOUCHED = ("empty", "empty_like", "new_empty", "detach", "alias", "lift_fresh")
"""Operations that read and write nothing."""


class Traffic(TorchDispatchMode):
    """Counts while it is entered.

    Attributes:
        operations: that read or wrote a tensor of ``numel`` elements or more; views do neither.
        images: such tensors read or written by them, in units of ``numel``; one that is changed in place is both, and
            one that is named twice is read twice.
    """

    def __init__(self, numel: int) -> None:
        super().__init__()
        self.numel, self.operations, self.images = numel, 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if not function.is_view and function.overloadpacket.__name__ not in UNTOUCHED:
            moved = [*self._large((args, kwargs)), *self._large(result)]
            self.operations += bool(moved)
            self.images += sum(tensor.numel() // self.numel for tensor in moved)
        return result

    def _large(self, tree: Any) -> list[Tensor]:
        leaves = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))
        return [tensor for tensor in leaves if tensor.numel() >= self.numel]

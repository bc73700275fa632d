"""What an observer makes of a prompt, made once, alone, so that it is the same in any company, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Texts:
    """One row for each prompt: its embedding or its tokens, a few kilobytes.

    Args:
        make: rows of prompts, on the device; it is asked for each prompt once, and alone.
    """

    def __init__(self, make: Callable[[Sequence[str]], Tensor]) -> None:
        self.make = make
        self.kept: dict[str, Tensor] = {}

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Rows of these prompts, in their order."""
        import torch

        for prompt in set(prompts) - self.kept.keys():
            self.kept[prompt] = self.make([prompt])[0]
        return torch.stack([self.kept[prompt] for prompt in prompts])

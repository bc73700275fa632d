"""As many rows at once as fit into memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor


class Rows:
    """Splits a batch that the device's memory does not hold: halved until it fits, and remembered, with a warning.

    A call inside a call is not split: the outer one is, with all that depends on its rows.
    """

    def __init__(self, what: str, most: int | None = None) -> None:
        self.what, self.most = what, most
        self.at_work = False

    def __call__(self, count: int, evaluate: Callable[[slice], Tensor]) -> Tensor:
        """``evaluate`` of all of ``count`` rows, joined.

        Raises:
            torch.OutOfMemoryError: if not even one row fits.
        """
        if self.at_work:
            return evaluate(slice(0, count))
        self.at_work = True
        try:
            while (joined := self._tried(count, evaluate)) is None:
                torch.cuda.empty_cache()
            return joined
        finally:
            self.at_work = False

    def _tried(self, count: int, evaluate: Callable[[slice], Tensor]) -> Tensor | None:
        """All rows, or None if they did not fit and fewer are to be tried."""
        size = min(count, self.most or count)
        try:
            parts = [evaluate(slice(i, min(i + size, count))) for i in range(0, count, size)]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        except torch.cuda.OutOfMemoryError:
            if size == 1:
                raise
        self.most = size // 2
        warnings.warn(
            f"{self.what}: {size} rows at once do not fit into memory; going on with {self.most}", stacklevel=2
        )
        return None

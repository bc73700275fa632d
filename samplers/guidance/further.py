"""Working with what a combination returns: an image, or questions that lead to one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ..perturbation import Branch
    from ..protocols import Further


def then(combined: Tensor | Further, function: Callable[[Tensor], Tensor]) -> Tensor | Further:
    """``function`` of the combined image, after its questions if it has any."""
    return _answered(combined, function) if isinstance(combined, Generator) else function(combined)


def asking(combined: Tensor | Further, other: Callable[[Branch], Branch]) -> Tensor | Further:
    """The same, its questions about ``other`` branches than it knows."""
    return _asking(combined, other) if isinstance(combined, Generator) else combined


def _answered(combined: Further, function: Callable[[Tensor], Tensor]) -> Further:
    return function((yield from combined))


def _asking(combined: Further, other: Callable[[Branch], Branch]) -> Further:
    reply = None
    while True:
        try:
            x, level, branches = combined.send(reply)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value
        x, predictions = yield x, level, tuple(other(branch) for branch in branches)
        reply = x, {branch: predictions[other(branch)] for branch in branches}

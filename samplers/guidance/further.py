"""Working with what a combination returns: an image, or questions that lead to one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

from ..level import Level

if TYPE_CHECKING:
    from torch import Tensor

    from ..perturbation import Branch
    from ..protocols import Further, Guidance


def then(combined: Tensor | Further, function: Callable[[Tensor], Tensor]) -> Tensor | Further:
    """``function`` of the combined image, after its questions if it has any."""
    return _answered(combined, function) if isinstance(combined, Generator) else function(combined)


def asking(combined: Tensor | Further, other: Callable[[Branch], Branch]) -> Tensor | Further:
    """The same, its questions about ``other`` branches than it knows."""
    return _asking(combined, other) if isinstance(combined, Generator) else combined


def both(first: Tensor | Further, second: Tensor | Further, function: Callable[[Tensor, Tensor], Tensor]) -> Any:
    """``function`` of two combined images, after the questions of either."""
    if isinstance(first, Generator) or isinstance(second, Generator):
        return _of_both(first, second, function)
    return function(first, second)


def asks_again(guidance: Guidance, levels: Iterable[Level]) -> bool:
    """Whether a run has further questions at any of these levels; its branches there must all be conditions."""
    from torch import zeros

    x = zeros(1, 1, 8, 8)
    combine = guidance.start()
    found = (combine(x, level, dict.fromkeys(guidance.branches(level), x)) for level in levels)
    return any(isinstance(combined, Generator) for combined in found)


def _of_both(first: Any, second: Any, function: Callable[[Tensor, Tensor], Tensor]) -> Further:
    one = (yield from first) if isinstance(first, Generator) else first
    other = (yield from second) if isinstance(second, Generator) else second
    return function(one, other)


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

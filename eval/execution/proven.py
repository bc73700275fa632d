"""A faster way to answer calls, taken once it has given what the usual one gave."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .signature import Call

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""How far an answer may be from the usual one, relative to the largest element."""
MOST = 32
"""Signatures of a network that something is made for; calls of others are answered as usual."""

Answer = Callable[[Call], Any]


class Proven:
    """Each signature's first call is answered as usual, and something faster is made for it. Its second call, of other
    numbers, is answered by both; if they agree, all later ones are answered by the faster.

    What cannot be made, or does not agree, is not tried again: a warning says why, and all calls are answered as usual.

    Args:
        name: of the network, for the warning.
        usual: answers a call.
        make: what answers calls of this one's signature faster.
    """

    def __init__(self, name: str, usual: Answer, make: Callable[[Call], Answer]) -> None:
        self.name, self.usual, self.make = name, usual, make
        self.on_trial: dict[Hashable, Answer] = {}
        self.proven: dict[Hashable, Answer] = {}
        self.given_up = ""

    def __call__(self, call: Call, state: Hashable) -> Any:
        """
        Args:
            state: what else than the call the answer depends on.
        """
        kind = call.signature, state
        if kind in self.proven:
            return self.proven[kind](call)
        answer = self.usual(call)  # before anything else: what fails here is the call's own fault
        if not self.given_up:
            try:
                self._go_on(kind, call, answer)
            except Exception as error:
                first = error.__context__ or error  # a capture that failed also fails to end
                self._give_up(f"{type(first).__name__}: {first}")
        return answer

    def _go_on(self, kind: Hashable, call: Call, answer: Any) -> None:
        if kind in self.on_trial:
            faster = self.on_trial[kind]
            check(faster(call), answer)
            self.proven[kind] = faster
        elif len(self.on_trial) < MOST:
            self.on_trial[kind] = self.make(call)

    def _give_up(self, reason: str) -> None:
        self.given_up = reason
        self.on_trial.clear()
        self.proven.clear()
        warnings.warn(f"{self.name} is executed as usual from now on: {reason}", stacklevel=2)


def check(found: Any, expected: Any) -> None:
    """
    Raises:
        ArithmeticError: if an answer is further from the usual one than the tolerance.
    """
    for one, usual in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        if not isinstance(usual, Tensor):
            continue
        limit = TOLERANCE.get(usual.dtype, 0.0)
        difference = distance(one, usual)
        if not difference <= limit:  # nan agrees with nothing
            raise ArithmeticError(f"its answer is off by {difference:.2g} of the largest element, more than {limit:g}")


def distance(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest element."""
    found, expected = found.double(), expected.double()
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30)).item()

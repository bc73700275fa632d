"""Who answers the calls of a network: its own forward, or what was made of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import nn

from ...plugins.replaced import anything_replaced
from ..protocols import Drawing, Model
from .graphs import CudaRecorder, Graph
from .names import Execution
from .proven import MOST, Answer, Proven
from .signature import Call, call_of

Make = Callable[[Callable[..., Any]], Callable[[Call], Answer]]
"""Of a forward: what makes something faster of it for calls of a signature."""


class Executed:
    """In the place of a network's forward, below the hooks that count its calls.

    A call is its own forward's if it wants gradients, or while any forward is replaced: what was made of the network
    was made of it as it is, and must not answer for a changed one. What it answers belongs to the weights where they
    lay and to autocast as it was.
    """

    def __init__(self, network: nn.Module, make: Make) -> None:
        self.forward = network.forward
        self.weights = [*network.parameters(), *network.buffers()]
        self.proven = Proven(type(network).__name__, self._usual, make(self.forward))
        functools.update_wrapper(self, self.forward)  # who asks for its signature gets the network's

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled() or anything_replaced():
            return self.forward(*args, **kwargs)
        device = self.weights[0].device
        call = call_of(args, kwargs, device)
        if call is None:
            return self.forward(*args, **kwargs)
        return self.proven(call, self._state(device.type))

    def _usual(self, call: Call) -> Any:
        args, kwargs = call.arguments(call.tensors)
        return self.forward(*args, **kwargs)

    def _state(self, device: str) -> Hashable:
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        return autocast, *(tensor.data_ptr() for tensor in self.weights)


def execute(network: nn.Module, make: Make) -> Executed:
    """Put it there, for as long as the network lives."""
    network.forward = instead = Executed(network, make)
    return instead


def graphs(forward: Callable[..., Any]) -> Callable[[Call], Answer]:
    record = CudaRecorder()
    return lambda call: Graph(forward, call, record)


def compiled(forward: Callable[..., Any]) -> Callable[[Call], Answer]:
    """Compiled when it is first called, for the shapes of each signature anew."""
    import torch._dynamo  # slow to import, and needed by no other way

    torch._dynamo.config.recompile_limit = MOST
    faster = torch.compile(forward, dynamic=False)

    def answer(call: Call) -> Any:
        args, kwargs = call.arguments(call.tensors)
        return faster(*args, **kwargs)

    return lambda call: answer


MAKES: dict[str, Make] = {"cuda_graphs": graphs, "compiled": compiled}


def check_device(execution: Execution, device: str) -> None:
    """
    Raises:
        ValueError: for CUDA graphs elsewhere than on a CUDA device.
    """
    if execution == "cuda_graphs" and torch.device(device).type != "cuda":
        raise ValueError(f"execution = 'cuda_graphs' needs device: cuda, not {device}; use execution: eager")


def executed(model: Model, execution: Execution) -> Model:
    """The model, its network executed so.

    Raises:
        ValueError: for a model without a network of its own that stays where it is, with the remedy.
    """
    if execution == "eager":
        return model
    if isinstance(model, Drawing) or next(model.network.parameters(), None) is None:
        raise ValueError(
            f"execution = {execution!r} needs a network to execute, which it has not; use execution: eager"
        )
    if any(hasattr(module, "_hf_hook") for module in model.network.modules()):
        raise ValueError(f"execution = {execution!r} needs weights that stay on the device; leave offload out")
    execute(model.network, MAKES[execution])
    return model

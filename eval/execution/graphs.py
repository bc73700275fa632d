"""CUDA graphs of a function: recorded for tensors that stay where they are, replayed with other numbers in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from .signature import Call

Run = Callable[[], Any]


class Recorder(Protocol):
    """What a device has to be able to do."""

    def __call__(self, run: Run) -> tuple[Callable[[], None], Any]:
        """Record what the device is asked for while ``run`` runs: what does it again, and the run's result, whose
        tensors are then written anew."""
        ...


class CudaRecorder:
    """Of the current device. Its graphs take turns, so they share the memory that they compute in."""

    def __init__(self) -> None:
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def __call__(self, run: Run) -> tuple[Callable[[], None], Any]:
        self._warm(run)
        graph = torch.cuda.CUDAGraph()
        # other threads may go on using the device meanwhile
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            result = run()
        return graph.replay, result

    def _warm(self, run: Run) -> None:
        """Libraries make their workspaces at first use, for each stream its own."""
        here = torch.cuda.current_stream()
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            run()
        here.wait_stream(self.stream)


class Graph:
    """Calls of one signature: their tensors are copied to where the recorded ones lie, and the answer from there."""

    def __init__(self, forward: Callable[..., Any], call: Call, record: Recorder) -> None:
        self.inputs = [torch.empty_like(tensor).copy_(tensor) for tensor in call.tensors]
        args, kwargs = call.arguments(self.inputs)
        self.replay, self.result = record(lambda: _uncached(forward, args, kwargs))

    def __call__(self, call: Call) -> Any:
        for own, given in zip(self.inputs, call.tensors, strict=True):
            own.copy_(given)
        self.replay()
        return tree_map_only(Tensor, torch.clone, self.result)


def _uncached(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call without autocast's memory of weights, which is gone when a graph reads them again."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        return forward(*args, **kwargs)
    finally:
        torch.set_autocast_cache_enabled(before)

"""Looking at images beside the sampling of the next ones, and the way back to the host for what was seen.

On a GPU the work on images is queued on a second stream, where it waits for the sampling of these images alone. Behind
it go the copies of what was seen into pinned memory of the host, and an event. The host goes on at once, and reads what
has come by the event; so it need not wait before it wants to publish, and then once, for the last. On a device whose
calls return when their work is done there is nothing to overlap, and what is fetched has come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Seen = Mapping[str, Tensor | np.ndarray]
"""What was seen of some images, by name: tensors on the device, or arrays of who works on the host."""


class Fetched:
    """Copies on their way to the host, and the event behind the last of them."""

    def __init__(self, copies: Seen, event: Any = None) -> None:
        self._copies, self._event = copies, event

    @property
    def ready(self) -> bool:
        """Whether they have come, or never will, which who waits is told."""
        try:
            return self._event is None or self._event.query()
        except RuntimeError:
            return True

    def wait(self) -> None:
        """Until they have come: here the host waits for the device, and nowhere else.

        Raises:
            RuntimeError: for an error of the device in whatever was asked of it before.
        """
        if self._event is not None:
            self._event.synchronize()

    def arrays(self) -> dict[str, np.ndarray]:
        """What has come."""
        self.wait()
        return {name: np.asarray(rows) for name, rows in self._copies.items()}


class Beside(Protocol):
    """Where images are looked at."""

    def looking(self, *at: Tensor) -> Any:
        """A context in which these tensors, made on the stream outside, can be worked with."""
        ...

    def fetch(self, seen: Seen) -> Fetched:
        """Begin to copy all of this, made inside ``looking``, to the host; whoever lets go of it then does no harm."""
        ...


class SameStream:
    """For the CPU, and whatever else has one stream: looking is done where sampling is."""

    @contextmanager
    def looking(self, *at: Tensor) -> Iterator[None]:
        yield

    def fetch(self, seen: Seen) -> Fetched:
        return Fetched({name: rows.cpu() if isinstance(rows, Tensor) else rows for name, rows in seen.items()})


class SecondStream:
    """For a GPU of CUDA."""

    def __init__(self, device: str) -> None:
        self.stream = torch.cuda.Stream(torch.device(device))

    @contextmanager
    def looking(self, *at: Tensor) -> Iterator[None]:
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        for tensor in at:
            if tensor.is_cuda:
                tensor.record_stream(self.stream)  # its memory is not given away before this stream is done with it
        with torch.cuda.stream(self.stream):
            yield

    def fetch(self, seen: Seen) -> Fetched:
        with torch.cuda.stream(self.stream):
            return Fetched({name: _pinned(rows) for name, rows in seen.items()}, self.stream.record_event())


@lru_cache
def beside(device: str) -> Beside:
    """One for a device and process, so that what observers keep belongs to one stream."""
    return SecondStream(device) if torch.device(device).type == "cuda" else SameStream()


def _pinned(rows: Tensor | np.ndarray) -> Tensor | np.ndarray:
    if not isinstance(rows, Tensor) or not rows.is_cuda:
        return rows
    return torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True).copy_(rows, non_blocking=True)

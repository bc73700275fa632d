"""Time of work on a device, measured where it is done and read once it is wanted, so that measuring makes nobody wait.

A call on a GPU returns before its work is done: by the clock of the host it would take no longer than to say what is
to be done. There a span lies between two events, which the GPU stamps when it comes to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch


class HostEvent:
    """What an event of a GPU is, for a device whose calls return when their work is done."""

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def elapsed_time(self, later: HostEvent) -> float:
        """Milliseconds from this event to a later one."""
        return 1000 * (later.at - self.at)


EVENTS: dict[str, Callable[[], Any]] = {"cuda": partial(torch.cuda.Event, enable_timing=True)}
"""How events are made, by type of device; of others it is the host's clock that counts."""


class Span:
    """The time of a device from here to ``end()``."""

    def __init__(self, device: torch.device | str) -> None:
        event = EVENTS.get(torch.device(device).type, HostEvent)
        self._began, self._ended = event(), event()
        self._began.record()

    def end(self) -> Span:
        self._ended.record()
        return self

    @cached_property
    def seconds(self) -> float:
        """Read from the device, which has to have come to the end: it is waited for."""
        self._ended.synchronize()
        return self._began.elapsed_time(self._ended) / 1000


class Seconds:
    """Shares of spans; ``float()`` is their sum, and waits for the device to have come to the end of all."""

    def __init__(self) -> None:
        self._parts: list[tuple[Span, float]] = []

    def add(self, span: Span, share: float = 1.0) -> None:
        self._parts.append((span, share))

    def extend(self, other: Seconds) -> None:
        self._parts += other._parts

    def __float__(self) -> float:
        return sum((span.seconds * share for span, share in self._parts), 0.0)

"""Times of contestants that take turns, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ..costs.measuring import Spread, spread

__all__ = ["Spread", "in_turns", "ratios", "ready", "spread", "timed"]

Prepare = Callable[[], Callable[[], object]]
"""Makes a fresh run, ready to go; the making is not timed."""


def in_turns(contestants: Mapping[str, Prepare], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, after a round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, prepare in contestants.items():
            run = prepare()
            seconds = timed(run, device)
            if number:
                times[name].append(seconds)
    return times


def ready(run: Callable[[], object]) -> Prepare:
    """A run that needs no preparation."""
    return lambda: run


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds of the CPU that this process used, which others' load does not lengthen; on a GPU, of the clock."""
    if device == "cpu":
        began = time.process_time()
        run()
        return time.process_time() - began
    import torch

    torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def ratios(ours: list[float], theirs: list[float]) -> Spread:
    """Ours to theirs, round by round."""
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])

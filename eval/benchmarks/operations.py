"""How many operations on whole images a step takes, for every method that a peer has too, and what they move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from .hosts import Hosted, hosted
from .overhead import ours
from .peers import Loop, loops
from .row import Row
from .timing import Spread
from .traffic import Traffic

STEPS, GOAL = 50, 1.0
SHAPE = (2, 4, 8, 8)


class Work(NamedTuple):
    """Of a step: operations, and images read and written."""

    operations: float
    images: float

    def __str__(self) -> str:
        return f"{self.operations:.2f}, {self.images:.1f} images moved"


def rows(device: str) -> Iterator[Row]:
    x = torch.randn(SHAPE, device=device)
    for loop in loops():
        yield _row(f"operations in a step of {loop.counterpart}", loop.title, *of_samplers(loop, x, STEPS))
    for method in hosted():
        what = f"operations in a step of scheduler({method.counterpart!r})"
        yield _row(what, method.title, *of_schedulers(method, x, STEPS))


def of_samplers(loop: Loop, x: Tensor, steps: int) -> tuple[Work, Work]:
    """Ours and theirs through the API of each."""
    return _work(ours(loop, x, steps), x, steps), _work(loop.prepare(x, steps), x, steps)


def of_schedulers(method: Hosted, x: Tensor, steps: int) -> tuple[Work, Work]:
    """Ours and theirs in diffusers' loop."""
    own, other = (method.set(name, x, steps) for name in ("ours", "theirs"))
    return (
        _work(partial(method.run, "ours", own, x), x, len(own.timesteps)),
        _work(partial(method.run, "theirs", other, x), x, len(other.timesteps)),
    )


def _work(run: Callable[[], object], x: Tensor, steps: int) -> Work:
    with Traffic(x.numel()) as counted:
        run()
    return Work(counted.operations / steps, counted.images / steps)


def _row(what: str, peer: str, ours: Work, theirs: Work) -> Row:
    ratio = ours.operations / theirs.operations
    return Row(what, peer, Spread(ratio, ratio, ratio), GOAL, ours=str(ours), theirs=str(theirs))

"""What our schedulers cost in diffusers' own loop, beside diffusers' scheduler of the same method.

Both sides scale the input, convert the network's output and step; the network is a null model and noise is drawn
before. A step is one call of ``step``. ``set_timesteps`` is counted by itself: for a number of steps that was not asked
before, and again, as for the next image.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...plugins.diffusers import noise as our_noise
from ...plugins.diffusers.joining import scheduler
from ..peers import diffusers_schedulers
from .peers import denoised, drawing, made
from .row import Row, compared
from .timing import in_turns

STEPS, ROUNDS, GOAL = 50, 11, 1.0
SHAPE = (1, 3, 32, 32)


class Hosted(NamedTuple):
    """One of their schedulers, and ours for the same method and model."""

    described: Any

    @property
    def title(self) -> str:
        return f"diffusers {self.described.title}"

    @property
    def counterpart(self) -> str:
        return str(self.described.counterpart)

    def make(self, name: str) -> Any:
        theirs = made(self.described)
        return theirs if name == "theirs" else scheduler(self.counterpart, like=theirs)

    def set(self, name: str, x: Tensor, steps: int) -> Any:
        """One whose timesteps are set."""
        scheduler = self.make(name)
        scheduler.set_timesteps(steps, device=x.device)
        return scheduler

    def run(self, name: str, scheduler: Any, x: Tensor) -> None:
        """Every step that is set."""
        module = our_noise if name == "ours" else sys.modules[type(scheduler).__module__]
        with drawing(x, module, scheduler):
            denoised(scheduler, x, self.described.step if name == "theirs" else {})


def hosted() -> Iterator[Hosted]:
    yield from map(Hosted, diffusers_schedulers.SCHEDULERS)


def rows(device: str) -> Iterator[Row]:
    x = torch.randn(SHAPE, device=device)
    for what, unit, prepare in (
        ("a step of", ("us", 1e6), _steps),
        ("set_timesteps of", ("ms", 1e3), _first),
        ("set_timesteps again of", ("ms", 1e3), _again),
    ):
        for method in hosted():
            both = {name: partial(prepare, method, name, x) for name in ("ours", "theirs")}
            times = in_turns(both, ROUNDS, device)
            each = {name: len(method.set(name, x, STEPS).timesteps) if prepare is _steps else 1 for name in both}
            own, other = ([seconds / each[name] for seconds in times[name]] for name in both)
            yield compared(f"{what} scheduler({method.counterpart!r})", method.title, own, other, GOAL, unit)


def _steps(method: Hosted, name: str, x: Tensor) -> Callable[[], object]:
    return partial(method.run, name, method.set(name, x, STEPS), x)


def _first(method: Hosted, name: str, x: Tensor) -> Callable[[], object]:
    return partial(method.make(name).set_timesteps, STEPS, device=x.device)


def _again(method: Hosted, name: str, x: Tensor) -> Callable[[], object]:
    return partial(method.set(name, x, STEPS).set_timesteps, STEPS, device=x.device)

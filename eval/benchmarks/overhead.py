"""What a step costs beside the network, through the public API, for every method that a peer has too.

The network is a null model that answers at once, and both sides walk levels of the same process. Noise is drawn before
and given to both: what it costs is the part ``noise``. Levels and tables are made before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers.level import Level
from ...samplers.path import Path
from ...samplers.run import sample
from .peers import Loop, loops, sigmas
from .row import Row, compared
from .timing import Prepare, in_turns, spread

STEPS, ROUNDS, GOAL = 50, 11, 0.25
SHAPE = (1, 3, 32, 32)


def rows(device: str) -> Iterator[Row]:
    x = torch.randn(SHAPE, device=device)
    for loop in loops():
        contestants: dict[str, Prepare] = {
            "ours": partial(ours, loop, x, STEPS), "theirs": partial(loop.prepare, x, STEPS),
        }  # fmt: skip
        if (loop.counterpart, loop.process) == ("euler", "flow"):
            contestants["by hand"] = partial(by_hand, x, STEPS)
        times = in_turns(contestants, ROUNDS, device)
        own, other, *hand = ([seconds / STEPS for seconds in values] for values in times.values())
        note = f"written out, one operation a step, it takes {spread(hand[0]).median * 1e6:.3g} us" if hand else ""
        yield compared(f"a step of {loop.counterpart}", loop.title, own, other, GOAL, ("us", 1e6), note)


def ours(loop: Loop, x: Tensor, steps: int) -> Callable[[], object]:
    """The counterpart's run, from x over so many steps."""
    sampler, path, z = build("sampler", loop.counterpart), path_of(loop.process, steps), torch.randn_like(x)

    def denoiser(x: Tensor, level: object) -> Tensor:
        return x

    def noise(s: Level, t: Level) -> Tensor:
        return z

    return lambda: sample(sampler, denoiser, x, path, noise)


def path_of(process: str, steps: int) -> Path:
    """The levels that the peers walk."""
    if process == "VE":
        return Path(Level(1.0, sigma) for sigma in sigmas(steps))
    spacing, schedule = ("trailing", "flow") if process == "flow" else ("karras", "scaled_linear")
    return Path(build("spacing", spacing)(build("schedule", schedule), steps))


def by_hand(x: Tensor, steps: int) -> Callable[[], object]:
    """Euler's method on a flow without a program around it: x_t = x0 + sigma_t / sigma_s (x - x0)."""
    kept = [t.sigma / s.sigma for s, t in pairwise(path_of("flow", steps).levels)]

    @torch.no_grad()
    def run() -> Tensor:
        y = x
        for share in kept:
            y = torch.lerp(y, y, share)  # the null model's x0 is its x
        return y

    return run

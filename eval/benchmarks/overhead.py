"""What a step costs beside the network, through the public API, for every method that a peer has too.

The network is a null model that answers at once. Noise is drawn before and given to both sides: what it costs is the
part ``noise``. Peers' levels and tables are set before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers.level import Level
from ...samplers.run import sample
from .peers import loops
from .row import Row, compared
from .timing import in_turns

STEPS, ROUNDS, GOAL = 50, 11, 0.25
SHAPE = (1, 3, 32, 32)


def rows(device: str) -> Iterator[Row]:
    x = torch.randn(SHAPE, device=device)
    for loop in loops():
        contestants = {"ours": partial(ours, loop.counterpart, x), "theirs": partial(loop.prepare, x, STEPS)}
        times = in_turns(contestants, ROUNDS, device)
        own, other = ([seconds / STEPS for seconds in times[name]] for name in ("ours", "theirs"))
        yield compared(f"a step of {loop.counterpart}", loop.title, own, other, GOAL, ("us", 1e6))


def ours(text: str, x: Tensor) -> Callable[[], object]:
    sampler, z = build("sampler", text), torch.randn_like(x)
    levels = build("spacing", "karras")(build("schedule", "scaled_linear"), STEPS)

    def denoiser(x: Tensor, level: object) -> Tensor:
        return x

    def noise(s: Level, t: Level) -> Tensor:
        return z

    return lambda: sample(sampler, denoiser, x, levels, noise)

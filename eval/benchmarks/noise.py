"""What the noise of a step costs: increments of a Brownian path, beside k-diffusion's Brownian tree (torchsde).

Both are asked for the same intervals, each with one seed an image, and the making of the source is counted. Theirs is
told the ends of the run, ours its levels, as a sampler does. Latents: Stable Diffusion's, SDXL's and those of a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch

from ...samplers.brownian import BrownianNoise
from ...samplers.level import Level
from ..peers.k_diffusion import sampling
from .row import Row, compared
from .timing import in_turns

GOAL = 0.1
CASES = (
    ((1, 3, 32, 32), 10, 9), ((1, 3, 32, 32), 50, 9), ((1, 3, 32, 32), 200, 9), ((1, 3, 32, 32), 1000, 3),
    ((4, 3, 32, 32), 50, 9), ((1, 4, 64, 64), 50, 9), ((1, 4, 128, 128), 50, 3), ((1, 16, 21, 60, 104), 10, 1),
)  # fmt: skip
"""Shape, steps and rounds."""
HIGH, LOW = 80.0, 0.02


def rows(device: str) -> Iterator[Row]:
    for shape, steps, rounds in CASES:
        levels = [Level(1.0, HIGH * (LOW / HIGH) ** (i / steps)) for i in range(steps + 1)]
        contestants = {"ours": partial(ours, shape, levels, device), "theirs": partial(theirs, shape, levels, device)}
        times = in_turns(contestants, rounds, device)
        own, other = ([seconds / steps for seconds in times[name]] for name in ("ours", "theirs"))
        what = f"noise of a step, {'x'.join(map(str, shape))}, {steps} steps"
        yield compared(what, "k-diffusion BrownianTreeNoiseSampler", own, other, GOAL, ("us", 1e6))


def ours(shape: Sequence[int], levels: Sequence[Level], device: str) -> Callable[[], None]:
    def run() -> None:
        noise = BrownianNoise(range(shape[0]), shape[1:], device)
        noise.foresee(levels)
        for s, t in pairwise(levels):
            noise(s, t)

    return run


def theirs(shape: Sequence[int], levels: Sequence[Level], device: str) -> Callable[[], None]:
    x, seeds = torch.zeros(shape, device=device), list(range(shape[0]))
    sigmas = torch.tensor([level.sigma for level in levels], device=device)

    def run() -> None:
        noise = sampling().BrownianTreeNoiseSampler(x, sigmas.min(), sigmas.max(), seed=seeds if seeds[1:] else 0)
        for s, t in pairwise(sigmas):
            noise(s, t)

    return run

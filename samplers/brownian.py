"""Noise that belongs to the interval: increments of one Brownian path for each image.

    z(s, t) = (B(tau_t) - B(tau_s)) / sqrt(tau_t - tau_s),    tau = (alpha / sigma)^2

The clock is the signal-to-noise ratio: under the reverse SDE y = alpha x / sigma^2 follows dy = E[x0 | y] dtau + dB
(stochastic localization, Montanari 2023, arXiv:2305.10690), so noise of two steps that follow each other composes to
that of the one over both. Runs of 10 and of 20 steps walk along the same path of noise, whatever the process, and a run
that stops and is continued elsewhere goes on with the noise it would have had.

B is a function of image seed and tau alone, as long as a run stops at most once in an interval of 1/16 in log tau, and
a Brownian motion in any case (levy.py). A run reads it from noisy to clean and keeps the few values that lie ahead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .counted import CountedNormals
from .level import Level
from .levy import END, FINENESS, LevyPath
from .noise import SeededNoise


class BrownianNoise:
    """Unit normal noise for each image along its own Brownian path; what it starts from is that of ``SeededNoise``.

    Intervals that overlap, as those of a method that goes back to a noisier level, are answered from independent paths:
    each request is for the first path that has not yet been read beyond the interval's start.

    Args:
        seeds: one integer in [0, 2^32) for each image.
        shape: of one image, without the batch dimension.

    Raises:
        ValueError: for a seed outside [0, 2^32).
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.initial = SeededNoise(seeds, shape, device, dtype).initial
        self.seeds, self.shape, self.device, self.dtype = tuple(seeds), tuple(shape), device, dtype
        self._count = math.prod(shape)
        self._foreseen: list[int] = []
        self._paths: list[list[LevyPath]] = []

    def foresee(self, levels: Iterable[Level]) -> None:
        """Be told a run's levels before it starts: the noise of small steps is then made together, and is the same."""
        self._foreseen[:] = sorted({_place(level) for level in levels})

    def __call__(self, s: Level, t: Level) -> Tensor:
        """Unit normal noise for the step from s to t, (B, *shape)."""
        start, stop = sorted((_place(s), _place(t)))
        start = min(start, END - 1)
        stop = max(stop, start + 1)
        strips = [_increment(strip, start, stop) for strip in self._unread(start)]
        z = (strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)).transpose(0, 1)
        if self._count % 4:
            z = z.flatten(1)[:, : self._count]
        return z.reshape(-1, *self.shape).to(self.dtype)

    def _unread(self, start: int) -> list[LevyPath]:
        """The first path that has not been read beyond a place, in strips that a cache holds."""
        for path in self._paths:
            if path[0].read.place <= start:
                return path
        normals = CountedNormals(self.seeds, len(self._paths), math.ceil(self._count / 4), self.device)
        self._paths.append([LevyPath(part, self._foreseen) for part in normals.strips()])
        return self._paths[-1]


def _increment(path: LevyPath, start: int, stop: int) -> Tensor:
    """What the path gains, as unit normal noise."""
    before, after = path.at(start), path.at(stop)
    return (after.value - before.value).mul_((after.clock - before.clock) ** -0.5)


def _place(level: Level) -> int:
    if not level.alpha:
        return 0
    if not level.sigma:
        return END
    return min(max(round(2 * level.half_logsnr * FINENESS) + END // 2, 0), END)

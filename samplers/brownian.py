"""Noise that belongs to the interval: increments of one Brownian path for each image.

    z(s, t) = (B(tau_t) - B(tau_s)) / sqrt(tau_t - tau_s),    tau = (alpha / sigma)^2

The clock is the signal-to-noise ratio: under the reverse SDE y = alpha x / sigma^2 follows dy = E[x0 | y] dtau + dB
(stochastic localization, Montanari 2023, arXiv:2305.10690), so noise of two steps that follow each other composes to
that of the one over both. Runs of 10 and of 20 steps walk along the same path of noise, whatever the process, and a run
that stops and is continued elsewhere goes on with the noise it would have had.

The path is built as Levy did: B inside an interval, given its ends, is normal. Intervals of log tau are halved down to
1/16, and what is asked for lies within one. So B is a function of image seed and place alone, as long as a run
reads at most one place of such an interval, and a Brownian motion in any case. A run reads it from noisy to clean, and
keeps only the few values that lie ahead.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from .counted import CountedNormals
from .level import Level
from .noise import SeededNoise

FINENESS = 2**16  # places in a unit of log tau
END = 2**22  # the last place, at log tau = 32; the first stands for all below -32, tau = 0 included
LEAF = 2**12  # places between two that are halved no further


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
        self._paths: list[_Path] = []

    def foresee(self, levels: Iterable[Level]) -> None:
        """Be told a run's levels before it starts: the noise of small steps is then made together, and is the same."""
        self._foreseen[:] = sorted({_place(level) for level in levels})

    def __call__(self, s: Level, t: Level) -> Tensor:
        """Unit normal noise for the step from s to t, (B, *shape)."""
        start, stop = sorted((_place(s), _place(t)))
        start = min(start, END - 1)
        stop = max(stop, start + 1)
        path = self._unread(start)
        before, after = path.at(start), path.at(stop)
        z = (after.value - before.value).mul_((after.clock - before.clock) ** -0.5)
        return z.transpose(0, 1).flatten(1)[:, : self._count].reshape(-1, *self.shape).to(self.dtype)

    def _unread(self, start: int) -> _Path:
        for path in self._paths:
            if path.read.place <= start:
                return path
        normals = CountedNormals(self.seeds, len(self._paths), math.ceil(self._count / 4), self.device)
        self._paths.append(_Path(normals, normals.zeros(), self._foreseen))
        return self._paths[-1]


class _Known(NamedTuple):
    """The path at one place, and the clock there."""

    place: int
    clock: float
    value: Tensor


class _Path:
    """A Brownian path read from left to right. ``ahead``: the known points right of what is read, the nearest last."""

    def __init__(self, normals: CountedNormals, origin: Tensor, foreseen: Sequence[int]) -> None:
        self.normals, self.foreseen = normals, foreseen
        self.read, self.ahead = _Known(0, 0.0, origin), list[_Known]()
        self._drawn: dict[int, Tensor] = {}

    def at(self, place: int) -> _Known:
        """The path at a place that is not left of what is read."""
        while self.ahead and self.ahead[-1].place <= place:
            self.read = self.ahead.pop()
        while self.read.place < place:
            right = self.ahead[-1] if self.ahead else None
            middle = _middle(self.read.place, right.place, place) if right else END
            known = _inner(self.read, right, middle, self._normal(middle, place))
            if middle <= place:
                self.read = known
            else:
                self.ahead.append(known)
        return self.read

    def _normal(self, middle: int, place: int) -> Tensor:
        """What belongs to a point on the way to a place, drawn together with what will be wanted after it."""
        if middle not in self._drawn:
            after = self.foreseen[bisect_right(self.foreseen, place) :]
            way = _way(self.read.place, [known.place for known in self.ahead], [place, *after])
            new = [point for point in islice(way, self.normals.at_once) if point not in self._drawn]
            self._drawn = {point: z for point, z in self._drawn.items() if point > self.read.place}
            self._drawn.update(zip(new, self.normals(new), strict=True))
        return self._drawn.pop(middle)


def _way(read: int, ahead: list[int], places: Iterable[int]) -> Iterator[int]:
    """The points that ``at`` will come by on its way to places."""
    for place in places:
        while ahead and ahead[-1] <= place:
            read = ahead.pop()
        while read < place:
            middle = _middle(read, ahead[-1], place) if ahead else END
            yield middle
            if middle <= place:
                read = middle
            else:
                ahead.append(middle)


def _middle(left: int, right: int, place: int) -> int:
    """Where an interval around a place is divided: in halves, but a leaf at the place itself."""
    return (left + right) // 2 if right - left > LEAF else place


def _inner(left: _Known, right: _Known | None, place: int, z: Tensor) -> _Known:
    """B at a place from unit normal z: inside an interval given both ends (Brownian bridge), or beyond all known."""
    clock = _clock(place)
    if right is None:
        return _Known(place, clock, torch.add(left.value, z, alpha=math.sqrt(clock - left.clock)))
    share = (clock - left.clock) / (right.clock - left.clock)
    std = math.sqrt(share * (right.clock - clock))
    return _Known(place, clock, torch.lerp(left.value, right.value, share).add_(z, alpha=std))


def _place(level: Level) -> int:
    if not level.alpha:
        return 0
    if not level.sigma:
        return END
    return min(max(round(2 * level.half_logsnr * FINENESS) + END // 2, 0), END)


def _clock(place: int) -> float:
    return math.exp((place - END // 2) / FINENESS) if place else 0.0

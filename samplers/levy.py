"""A Brownian path as Levy built it: between two points where it is known, the point in the middle is normal.

    B(t) | B(a), B(b)  ~  N(a + share (b - a), share (b - t)),    share = (t - a) / (b - a)

in which a and b also stand for the path there. Intervals of log t are halved down to 1/16, a leaf, and what is read
lies within one. So B is a function of its place alone, as long as a reader asks for at most one place of a leaf; of
further places in it each depends on the one before. It is a Brownian motion in any case. A reader goes from left to
right, and the path keeps only the few values that lie ahead. Levy 1948, Processus stochastiques et mouvement brownien.
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

FINENESS = 2**16  # places in a unit of log t
END = 2**22  # the last place, at log t = 32; the first stands for all below -32, t = 0 included
LEAF = 2**12  # places between two that are halved no further


class Known(NamedTuple):
    """The path at one place, and the clock there."""

    place: int
    clock: float
    value: Tensor


class LevyPath:
    """A path read from left to right. ``ahead``: the known points right of what is read, the nearest last.

    Args:
        normals: what belongs to each place.
        foreseen: places that will be read, ascending; what they need is drawn together, and is the same.
    """

    def __init__(self, normals: CountedNormals, foreseen: Sequence[int]) -> None:
        self.normals, self.foreseen = normals, foreseen
        self.read, self.ahead = Known(0, 0.0, normals.zeros()), list[Known]()
        self._drawn: dict[int, Tensor] = {}

    def at(self, place: int) -> Known:
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


def _inner(left: Known, right: Known | None, place: int, z: Tensor) -> Known:
    """B at a place from unit normal z: inside an interval given both ends (Brownian bridge), or beyond all known."""
    clock = _clock(place)
    if right is None:
        return Known(place, clock, torch.add(left.value, z, alpha=math.sqrt(clock - left.clock)))
    share = (clock - left.clock) / (right.clock - left.clock)
    std = math.sqrt(share * (right.clock - clock))
    return Known(place, clock, torch.lerp(left.value, right.value, share).add_(z, alpha=std))


def _clock(place: int) -> float:
    return math.exp((place - END // 2) / FINENESS) if place else 0.0

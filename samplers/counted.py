"""Normal numbers that are a function of where they belong, computed on the device that wants them.

    z = f(seed, path, place, number)

No state, no order of drawing: the same numbers in any batch and on any device, but for the rounding of logarithm and
cosine. The hash is pcg4d of Jarzynski and Olano 2020, "Hash Functions for GPU Rendering", Journal of Computer Graphics
Techniques 9(3); its four words make four normals by the formula of Box and Muller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from functools import lru_cache

import torch
from torch import Tensor

from .moved import moved

AT_ONCE = {"cpu": 2**17}
"""Numbers computed together: on a CPU as many as its cache holds, elsewhere 2^22 or those of one place."""

MULTIPLIER, INCREMENT = 1664525, 1013904223
EIGHT, SIXTEEN = torch.tensor([8, 16], dtype=torch.int32, device="cpu")
OFFSET, MINUS_TWO, TURN = torch.tensor([0.5 + 2.0**-24, -2.0, 2 * math.pi * 2.0**-32], device="cpu")
"""As tensors: a number of Python's is made one at each use, which takes as long as the operation."""


class CountedNormals:
    """Independent unit normals for every place of one path.

    Args:
        seeds: in [0, 2^32), one for each image.
        path: an integer, of other numbers for the same seeds.
        count: four times so many numbers for each image.
    """

    def __init__(self, seeds: Sequence[int], path: int, count: int, device: torch.device | str) -> None:
        ys, w = [_spread(seed) for seed in seeds], _spread(path)
        once = _sent([*ys, *(_int32(y * w) for y in ys), w], device)
        self._y, shift, self._w = once.split([len(ys), len(ys), 1])
        self._x = _numbers(count, once.device) + shift
        self._folded = self._x.bitwise_xor(self._x.bitwise_right_shift(SIXTEEN))

    @property
    def at_once(self) -> int:
        """For how many places numbers are made together."""
        return max(1, AT_ONCE.get(self._x.device.type, 2**22) // max(1, 4 * self._x.numel()))

    def strips(self) -> list[CountedNormals]:
        """Itself in parts, each of some of an image's numbers: as many as are computed together."""
        columns = max(1, AT_ONCE.get(self._x.device.type, 2**62) // max(1, 4 * len(self._x)))
        parts = zip(self._x.split(columns, 1), self._folded.split(columns, 1), strict=True)
        return [self._part(x, folded) for x, folded in parts]

    def _part(self, x: Tensor, folded: Tensor) -> CountedNormals:
        part = copy(self)
        part._x, part._folded = x, folded
        return part

    def __call__(self, places: Sequence[int]) -> Iterator[Tensor]:
        """For each place, an integer in [0, 2^32): (4, B, count) float32."""
        for i in range(0, len(places), self.at_once):
            yield from _normals(self._hash(places[i : i + self.at_once]))

    def zeros(self) -> Tensor:
        """Of the shape and on the device of a place's numbers."""
        return torch.zeros(4, *self._x.shape, device=self._x.device)

    def _hash(self, places: Sequence[int]) -> Tensor:
        """pcg4d of (number, seed, place, path): four words, (4, places, B, count) int32."""
        x, y, w = self._x, self._y, self._w
        z = _sent([_spread(place) for place in places], x.device).unsqueeze(1)
        words = torch.empty(4, len(places), *x.shape, dtype=torch.int32, device=x.device)
        a, b, c, d = words.unbind()
        torch.addcmul(y, z, x, out=b)
        torch.addcmul(z, x, b, out=c)
        torch.addcmul(w, b, c, out=d)
        later = words[1:]
        later.bitwise_xor_(later.bitwise_right_shift(SIXTEEN))
        torch.addcmul(self._folded, b, d, out=a)
        b.addcmul_(c, a)
        c.addcmul_(a, b)
        d.addcmul_(b, c)
        return words


def _normals(words: Tensor) -> Sequence[Tensor]:
    """Unit normals of four words, which are used up, for each place: sqrt(-2 log u) cos and sin of an angle."""
    radius = torch.add(OFFSET, words[:2].bitwise_right_shift_(EIGHT), alpha=2.0**-24)  # u in (0, 1]
    radius.log_().mul_(MINUS_TWO).sqrt_()
    angle = words[2:] * TURN
    z = words.view(torch.float32)
    torch.cos(angle, out=z[:2]).mul_(radius)
    torch.sin(angle, out=z[2:]).mul_(radius)
    return z.unbind(1)


@lru_cache(maxsize=8)
def _numbers(count: int, device: torch.device) -> Tensor:
    """0 ... count - 1, spread."""
    return torch.arange(count, dtype=torch.int32, device=device).mul_(MULTIPLIER).add_(INCREMENT)


def _sent(words: Sequence[int], device: torch.device | str) -> Tensor:
    """A column of int32 on a device."""
    return moved(torch.tensor(words, dtype=torch.int32), device).view(-1, 1)


def _spread(word: int) -> int:
    """A step of a congruential generator."""
    return _int32(word * MULTIPLIER + INCREMENT)


def _int32(word: int) -> int:
    """The int32 with the same last 32 bits."""
    return (word + 2**31) % 2**32 - 2**31

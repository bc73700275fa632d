"""Normal numbers that are a function of where they belong, computed on the device that wants them.

    z = f(seed, path, place, number)

No state, no order of drawing: the same numbers in any batch and on any device, but for the rounding of logarithm and
cosine. The hash is pcg4d of Jarzynski and Olano 2020, "Hash Functions for GPU Rendering", Journal of Computer Graphics
Techniques 9(3); its four words make four normals by the formula of Box and Muller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .moved import moved

AT_ONCE = {"cpu": 2**17}
"""Numbers computed together: on a CPU as many as its cache holds."""

MULTIPLIER, INCREMENT = 1664525, 1013904223


class CountedNormals:
    """Independent unit normals for every place of one path.

    Args:
        seeds: in [0, 2^32), one for each image.
        path: an integer, of other numbers for the same seeds.
        count: four times so many numbers for each image.
    """

    def __init__(self, seeds: Sequence[int], path: int, count: int, device: torch.device | str) -> None:
        self._y = _words(seeds, device).view(-1, 1)
        self._w = _spread(path)
        numbers = torch.arange(count, dtype=torch.int32, device=device).mul_(MULTIPLIER).add_(INCREMENT)
        self._x = numbers + self._y * self._w
        self._fitting = max(1, AT_ONCE.get(self._x.device.type, 2**24) // max(1, 4 * self._x.numel()))

    def __call__(self, places: Sequence[int]) -> list[Tensor]:
        """For each place, an integer in [0, 2^32): (4, B, count) float32."""
        parts = [places[i : i + self._fitting] for i in range(0, len(places), self._fitting)]
        return [z for part in parts for z in _normals(self._hash(part)).unbind(1)]

    def _hash(self, places: Sequence[int]) -> Tensor:
        """pcg4d of (number, seed, place, path): four words, (4, places, B, count) int32."""
        device = self._x.device
        z = _words(places, device).view(-1, 1, 1)
        words = torch.empty(4, len(places), *self._x.shape, dtype=torch.int32, device=device)
        a, b, c, d = words.unbind()
        a.copy_(self._x)
        torch.addcmul(self._y, z, a, out=b)
        torch.addcmul(z, a, b, out=c)
        torch.mul(b, c, out=d).add_(self._w)
        words.bitwise_xor_(words >> 16)
        a.addcmul_(b, d)
        b.addcmul_(c, a)
        c.addcmul_(a, b)
        d.addcmul_(b, c)
        return words


def _normals(words: Tensor) -> Tensor:
    """Unit normals of the shape of four words: sqrt(-2 log u) cos and sin of an angle."""
    radius = ((words[:2] >> 8) * 2.0**-24).add_(0.5 + 2.0**-24).log_().mul_(-2).sqrt_()  # u in (0, 1]
    angle = words[2:] * (2 * math.pi * 2.0**-32)
    return torch.cat([angle.cos().mul_(radius), angle.sin_().mul_(radius)])


def _words(numbers: Sequence[int], device: torch.device | str) -> Tensor:
    return moved(torch.tensor([_spread(number) for number in numbers], dtype=torch.int32), device)


def _spread(word: int) -> int:
    """A step of a congruential generator, as the int32 with the same bits."""
    return (word * MULTIPLIER + INCREMENT + 2**31) % 2**32 - 2**31

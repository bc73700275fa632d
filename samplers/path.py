"""The path a sampler walks: steps + 1 noise levels, noisy to clean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from .level import Level


class Path:
    """Levels to visit, strictly less noisy from one to the next; iterating gives the steps ``(s, t)``, from and to.

    The first level may be pure noise (alpha = 0), the last may be clean (sigma = 0) or not (a split schedule).

    Raises:
        ValueError: for fewer than two levels, a level that is negative, not finite or (0, 0), and for a step that
            does not reduce the noise; the message names the index.
    """

    def __init__(self, levels: Iterable[Level]) -> None:
        self.levels = tuple(Level(float(alpha), float(sigma)) for alpha, sigma in levels)
        _check(self.levels)

    @classmethod
    def upwards(cls, levels: Sequence[Level]) -> Path:
        """The way back, for methods that add noise: levels strictly noisier from one to the next."""
        path = cls(reversed(levels))
        path.levels = path.levels[::-1]
        return path

    def __len__(self) -> int:
        return len(self.levels) - 1

    def __iter__(self) -> Iterator[tuple[Level, Level]]:
        return pairwise(self.levels)

    def __repr__(self) -> str:
        return f"Path({len(self)} steps from {tuple(self.levels[0])} to {tuple(self.levels[-1])})"


def ends(sampler: object, path: Path) -> tuple[Level, Level]:
    """The levels that a run of the sampler comes from and leads to."""
    first, last = path.levels[0], path.levels[-1]
    return (last, first) if getattr(sampler, "upwards", False) else (first, last)


def _check(levels: tuple[Level, ...]) -> None:
    if len(levels) < 2:
        raise ValueError(f"a path needs at least 2 levels (1 step), got {len(levels)}")
    for i, (alpha, sigma) in enumerate(levels):
        if not (0 <= alpha < math.inf and 0 <= sigma < math.inf and alpha + sigma > 0):
            raise ValueError(f"level {i} is {(alpha, sigma)}; alpha and sigma must be finite, >= 0 and not both 0")
    for i, (s, t) in enumerate(pairwise(levels)):
        if not s.noisier_than(t):
            raise ValueError(
                f"step {i} goes from {tuple(s)} to {tuple(t)}, which does not reduce sigma/alpha; "
                "give the levels from noisy to clean without repeats"
            )

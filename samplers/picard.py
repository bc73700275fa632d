"""Steps evaluated in parallel: Picard iteration over the whole path, for any sampler.

A sampler's answers are guessed, the run is replayed with them, which costs no evaluation, and the x at which it asks
are then evaluated together. Each round makes at least the first uncertain answer final, so n evaluations take n rounds
at most; where answers change little along the path, a round makes many final at once. What is iterated is x0, so that
the linear part of every step is exact: Shih et al. 2023, arXiv:2305.16317 (ParaDiGMS), iterate x itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .level import Level
from .noise import no_noise
from .path import Path
from .protocols import Denoiser, Noise, Sampler
from .run import lockstep, start

Round = list[tuple[Tensor, Level]]
"""What is evaluated together."""


class Work(NamedTuple):
    """What a run took.

    Attributes:
        rounds: calls of the denoiser, one after the other.
        evaluations: predictions of an image that they made together; alone, a run needs as many calls as evaluations.
    """

    rounds: int
    evaluations: int


def sample_parallel(
    sampler: Sampler,
    denoiser: Denoiser,
    x: Tensor,
    path: Path | Iterable[Level],
    noise: Noise = no_noise,
    *,
    window: int | None = None,
    tolerance: float = 1e-3,
) -> tuple[Tensor, Work]:
    """``sample`` in fewer calls of the denoiser, on more rows each.

    Every image goes its own pace, so that it does not depend on the others.

    Args:
        denoiser: is asked about rows of many levels at once.
        window: predictions of an image that are made in one call; None for all that its path has.
        tolerance: root mean square change of x, in units of its level's deviation, up to which a prediction is final. 0
            gives what ``sample`` gives, to rounding.

    Raises:
        ValueError: for a sampler that chooses its evaluations as it goes or needs more than x0, and a window below 1.
    """
    if sampler.evaluations is None or sampler.needs:
        reason = f"needs {sampler.needs}" if sampler.needs else "chooses its evaluations as it goes"
        raise ValueError(f"{type(sampler).__name__} {reason}, so that no step is known before the one before it")
    if window is not None and window < 1:
        raise ValueError(f"window = {window}: must be at least 1, or None for the whole path")
    path, draws, rounds = path if isinstance(path, Path) else Path(path), _Draws(noise), list[int]()

    def evaluate(requests: Sequence[Any]) -> list[Any]:
        rows = [request for asked in requests for request in asked]
        rounds.append(len(rows))
        x0 = denoiser(torch.cat([x for x, _ in rows]), [level for _, level in rows]).to(rows[0][0].dtype).split(1)
        ends = [sum(len(asked) for asked in requests[: i + 1]) for i in range(len(requests))]
        return [list(x0[end - len(asked) : end]) for asked, end in zip(requests, ends, strict=True)]

    runs = [
        _iterate(sampler, image, path, lambda i=i: draws.of(i), window or math.inf, tolerance)  # type: ignore[misc]
        for i, image in enumerate(x.split(1))
    ]
    return torch.cat(lockstep(runs, evaluate)), Work(len(rounds), sum(rounds))


def _iterate(
    sampler: Sampler, x: Tensor, path: Path, noise: Callable[[], Noise], window: float, tolerance: float
) -> Generator[Round, list[Tensor], Tensor]:
    """One image: yields the evaluations of a round, receives their x0."""
    asked: list[Tensor] = []
    answers: list[Tensor] = []
    final = 0
    while True:
        requests: Round = []
        run, reply = start(sampler, x, path, noise()), None
        try:
            while len(requests) < final + window:
                at, level = run.send(reply)  # type: ignore[arg-type]
                k = len(requests)
                if k == final and k < len(asked) and _near(at, asked[k], tolerance * level.norm):
                    final += 1
                requests.append((at, level))
                guess = answers[min(k, len(answers) - 1)] if answers else torch.zeros_like(at)
                reply = at, guess
            run.close()
        except StopIteration as stop:
            if final == len(requests):
                return stop.value
        asked[final:] = [at for at, _ in requests[final:]]
        answers[final:] = yield requests[final:]


def _near(a: Tensor, b: Tensor, distance: float) -> bool:
    return torch.equal(a, b) or (a - b).square().mean().sqrt().item() <= distance


class _Draws:
    """The k-th noise of every replay is the same."""

    def __init__(self, noise: Noise) -> None:
        self.noise, self.drawn = noise, list[Tensor]()

    def of(self, image: int) -> Noise:
        """A fresh replay's noise of one image."""
        numbers = iter(range(2**31))

        def draw(s: Level, t: Level) -> Tensor:
            k = next(numbers)
            if k == len(self.drawn):
                self.drawn.append(self.noise(s, t))
            return self.drawn[k][image : image + 1]

        return draw

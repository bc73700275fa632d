"""Drivers: they own the loop, the model calls and no_grad, so that samplers hold nothing but mathematics.

sample(sampler, denoiser, x, path, noise)       one run
lockstep(runs, evaluate)                        many runs, each round of requests answered together
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .level import Level
from .noise import no_noise
from .path import Path
from .perturbation import Branch
from .protocols import Denoiser, Guidance, Noise, Predictions, Run, Sampler
from .sums import cast

Evaluate = Callable[[Sequence[tuple[Any, ...]]], Sequence[tuple[Any, ...]]]
"""Answers one round of requests: what runs yielded, to what they receive, in the same order."""


def sample(
    sampler: Sampler, denoiser: Denoiser, x: Tensor, path: Path | Iterable[Level], noise: Noise = no_noise
) -> Tensor:
    """Walk x (B, *) along a path and return it at the path's last level.

    Args:
        denoiser: answers E[x0 | x at level].
        x: the start, already at the first level's scale: alpha * x0 + sigma * noise, pure noise for generation.
        path: a ``Path`` or its levels.
        noise: needed by stochastic samplers.

    The state is float32 at least, whatever the dtype of x; float64 stays float64.

    Raises:
        ValueError: if the sampler needs predictions of branches, which a single denoiser cannot give.
    """
    if sampler.evaluations is None and len(x) > 1:
        runs = [start(sampler, image, path, noise) for image in x.split(1)]
        return torch.cat(lockstep(runs, together(denoiser)))
    if sampler.needs:
        raise ValueError(f"{type(sampler).__name__} needs {sampler.needs}; drive it with guide() and lockstep()")
    return alone(start(sampler, x, path, noise), denoiser)


@torch.no_grad()
def alone(run: Run, denoiser: Denoiser) -> Tensor:
    """One run to its end, with nothing between it and the denoiser."""
    send, reply = run.send, None
    while True:
        try:
            x, level = send(reply)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value
        x0 = denoiser(x, level)
        reply = x, x0 if x0.dtype is x.dtype else x0.to(x.dtype)


def start(sampler: Sampler, x: Tensor, path: Path | Iterable[Level], noise: Noise = no_noise) -> Run:
    """A run of the sampler, its state in float32 at least."""
    x = cast(x, torch.promote_types(x.dtype, torch.float32))
    path = path if isinstance(path, Path) else Path(path)
    if hasattr(noise, "foresee"):  # as Foreseeing has; isinstance would take as long as five steps
        noise.foresee(path.levels)
    return sampler(x, path, noise)


def lockstep(runs: Sequence[Generator[Any, Any, Tensor]], evaluate: Evaluate) -> list[Tensor]:
    """Advance all runs together, one evaluation each a round, and return their results in order."""
    results: list[Any] = [None] * len(runs)
    requests: dict[int, Any] = {}

    def advance(i: int, reply: Any) -> None:
        try:
            requests[i] = runs[i].send(reply)
        except StopIteration as stop:
            requests.pop(i, None)
            results[i] = stop.value

    with torch.no_grad():
        for i in range(len(runs)):
            advance(i, None)
        while requests:
            for i, reply in zip(list(requests), evaluate(list(requests.values())), strict=True):
                advance(i, reply)
    return results


def together(denoiser: Denoiser) -> Evaluate:
    """Answer a round of ``(x, level)`` requests with one call of the denoiser on the concatenated rows."""

    def evaluate(requests: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        if len(requests) == 1:
            x, level = requests[0]
            return [(x, cast(denoiser(x, level), x.dtype))]
        rows = [len(x) for x, _ in requests]
        levels = [level for (_, level), n in zip(requests, rows, strict=True) for _ in range(n)]
        x0 = denoiser(torch.cat([x for x, _ in requests]), levels).split(rows)
        return [(x, cast(part, x.dtype)) for (x, _), part in zip(requests, x0, strict=True)]

    return evaluate


def guide(
    run: Run, guidance: Guidance, needs: tuple[str, ...] = ()
) -> Generator[tuple[Tensor, Level, tuple[Branch, ...]], tuple[Tensor, Predictions], Tensor]:
    """Wrap a run so that it asks for branch predictions and combines them itself.

    Yields ``(x, level, branches)``, receives ``(x, predictions of x0 by branch)``; the inner run sees
    ``(x, x0)`` and, after it, the predictions that its sampler ``needs``. A guidance may ask again, at another x.
    """
    combine, reply = guidance.start(), None
    while True:
        try:
            x, level = run.send(reply)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value
        branches = tuple(dict.fromkeys((*guidance.branches(level), *needs)))
        x, predictions = yield x, level, branches
        combined = combine(x, level, predictions)
        x0 = combined if isinstance(combined, Tensor) else (yield from combined)
        reply = (x, x0, *(predictions[name] for name in needs))

"""Spacings found for a model: the best levels among fine ones, by dynamic programming along reference trajectories.

    teach = reference(denoiser, x, levels)              x at 50 to 100 fine levels, walked once
    best = gits(teach, steps=6)                         or optimal_steps(denoiser, teach, steps=6)
    tabulated = Tabulated(sigmas=table(best))           a spacing like any other

A few dozen images are enough: trajectories have much the same shape whatever they lead to, arXiv:2405.11326, section 4.
Errors are those of x / alpha, the x of variance exploding processes, whatever the process of the model: an error made
at high noise decides what the image shows, and stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..bridge import bridge
from ..heun import Heun
from ..level import Level
from ..path import Path
from ..protocols import Denoiser, Sampler
from ..run import sample


class Reference(NamedTuple):
    """States (B, *) at all levels of a fine path, and the denoiser's answers at all but the last."""

    levels: tuple[Level, ...]
    states: list[Tensor]
    x0: list[Tensor]


def reference(denoiser: Denoiser, x: Tensor, levels: Sequence[Level], sampler: Sampler | None = None) -> Reference:
    """Walk x along fine levels, a single-step sampler (default: Heun's method) a level at a time.

    Args:
        x: images (B, *) at the first level.
        levels: noisy to clean; the found ones are chosen among them. ``exponential`` or ``trailing`` with 50 to 100
            steps are good choices.
    """
    path = Path(levels)
    method: Any = sampler or Heun()
    states: list[Tensor] = [x]
    x0: list[Tensor] = []
    for s, t in path:
        x0.append(_denoised(denoiser, states[-1], s))
        states.append(sample(method, denoiser, states[-1], [s, t]))
    return Reference(path.levels, states, x0)


def gits(teacher: Reference, steps: int) -> list[Level]:
    """The steps + 1 levels with the least sum of Euler's errors, each step taken from the reference trajectory.

    Costs no evaluation beyond the reference. Chen, Zhou, Wang, Shen, Lyu 2024, arXiv:2405.11326, section 5 (with the
    distance as the cost, and no coefficient).
    """
    levels, states, x0 = teacher
    _check(teacher, steps)
    cost = [
        [
            _error(bridge(states[i], x0[i], levels[i], levels[j]), states[j], levels[j]) if i < j else math.inf
            for i in range(len(x0))
        ]
        for j in range(len(levels))
    ]
    best = [0.0] + [math.inf] * (len(levels) - 1)
    origins = []
    for _ in range(steps):
        through = [[best[i] + cost[j][i] for i in range(len(x0))] for j in range(len(levels))]
        origins.append([min(range(len(x0)), key=totals.__getitem__) for totals in through])
        best = [min(totals) for totals in through]
    return _traced(levels, origins)


def optimal_steps(denoiser: Denoiser, teacher: Reference, steps: int) -> list[Level]:
    """The steps + 1 levels by which Euler's own trajectory ends nearest to the reference, found level by level.

    After k steps, the best state at each level is the one that comes nearest to the reference there, from any of the
    best states after k - 1; unlike ``gits`` it sees errors add up. Costs (steps - 1) x (fine levels) evaluations.
    Pei, Hu, Gu 2025, arXiv:2503.21774, section 3.
    """
    levels, states, x0 = teacher
    _check(teacher, steps)
    origins, students, answers = [], {0: states[0]}, {0: x0[0]}
    for k in range(steps):
        reached, chosen = {}, [0] * len(levels)
        for j in range(k + 1, len(levels) - (steps - 1 - k)):
            arrivals = {i: bridge(students[i], answers[i], levels[i], levels[j]) for i in students if i < j}
            chosen[j] = min(arrivals, key=lambda i: _error(arrivals[i], states[j], levels[j]))
            reached[j] = arrivals[chosen[j]]
        origins.append(chosen)
        students = {j: state for j, state in reached.items() if j < len(x0)}
        if k + 1 < steps:
            answers = {j: _denoised(denoiser, state, levels[j]) for j, state in students.items()}
    return _traced(levels, origins)


def euler_errors(teacher: Reference) -> list[float]:
    """The error of Euler's method on each fine step; their square roots are its monitor for ``equidistribute``."""
    levels, states, x0 = teacher
    steps = zip(states, x0, levels, levels[1:], states[1:], strict=False)
    return [_error(bridge(x, d, s, t), end, t) for x, d, s, t, end in steps]


def table(levels: Sequence[Level]) -> tuple[float, ...]:
    """The finite sigma/alpha of the noisy levels, as ``tabulated`` takes them."""
    return tuple(level.ve_sigma for level in levels if level.alpha and level.sigma)


def _check(teacher: Reference, steps: int) -> None:
    if not 1 <= steps <= len(teacher.x0):
        raise ValueError(f"steps = {steps}: must be 1 to {len(teacher.x0)}, the steps of the reference")


def _denoised(denoiser: Denoiser, x: Tensor, level: Level) -> Tensor:
    with torch.no_grad():
        return denoiser(x, level)


def _error(x: Tensor, expected: Tensor, level: Level) -> float:
    """Root mean square difference of x / alpha."""
    return ((x - expected).square().mean().sqrt() / level.alpha).item()


def _traced(levels: Sequence[Level], origins: list[list[int]]) -> list[Level]:
    """The levels from first to last, by where each step to a level came from."""
    found = [len(levels) - 1]
    for origin in reversed(origins):
        found.append(origin[found[-1]])
    return [levels[i] for i in reversed(found)]

"""Checks of what a sampler computes: its order, its distribution, and the ends of the path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch

from ..brownian import BrownianNoise
from ..level import CLEAN, PURE_NOISE, Level
from ..path import Path, ends
from ..problems import BIMODAL, GAUSSIAN
from ..protocols import Sampler
from .convergence import SCALES, jagged_path, moment_error, pure_noise_path, slope, trajectory_error
from .trial import Watched, distance, noise_for, normal_quantiles, require, walk

STEPS = (20, 40, 80)
"""Path lengths from which an order is measured."""

FINE_STEPS = (160, 320, 640)
"""Where the order is measured again if those above are still dominated by a higher-order error."""

CASES = {"VE": GAUSSIAN, "VP": BIMODAL, "flow": BIMODAL}
"""The problem on which an order is measured, for each scale."""

NEAR = 0.15
"""How far from the exact image a sampler with error control may end, in units of the data."""

SLACK = 0.15
"""How far a measured order may be from the declared one."""


def check_order(sampler: Sampler) -> None:
    """A deterministic sampler converges to the probability-flow solution, with its declared order, on unequal steps."""
    errors = {scale: _trajectory_errors(sampler, scale, STEPS) for scale in CASES}
    orders = {scale: slope(STEPS, found) for scale, found in errors.items()}
    fine = functools.cache(lambda scale: slope(FINE_STEPS, _trajectory_errors(sampler, scale, FINE_STEPS)))
    low, high = sampler.order - SLACK, sampler.order + SLACK
    for scale, order in orders.items():
        require(
            order >= low or fine(scale) >= low,
            sampler,
            f"converges with order {order:.2f} on a {scale} path, declares {sampler.order} (errors "
            f"{_show(errors[scale])} at {STEPS} steps); a coefficient is wrong, or only right for equal steps",
        )
    order = min(orders.values())
    higher = f"converges with order {order:.2f}, declares {sampler.order}; declare order = {round(min(order, 99))}"
    require(order <= high or any(fine(scale) <= high for scale in orders), sampler, higher)


def check_error_control(sampler: Sampler) -> None:
    """Smaller tolerances leave smaller errors, a hundredth of them a twentieth at most, and cost more evaluations."""
    for scale, problem in CASES.items():
        path, errors, costs = jagged_path(scale, 6), [], []
        x = problem.flow(normal_quantiles(8), PURE_NOISE, path.levels[0])
        exact = problem.flow(x, path.levels[0], path.levels[-1])
        for share in (1.0, 0.1, 0.01):
            tolerances = {name: getattr(sampler, name) * share for name in ("rtol", "atol")}
            model = Watched(problem)
            errors.append(distance(walk(replace(sampler, **tolerances), model, x, path), exact))  # type: ignore[type-var]
            costs.append(len(model.levels))
        require(
            errors[0] > errors[1] > errors[2] < errors[0] / 20 and costs[0] < costs[1] < costs[2],
            sampler,
            f"tolerances of 1, 0.1 and 0.01 times the default leave errors of {_show(errors)} for {costs} evaluations "
            f"on a {scale} path; the estimate does not follow the error",
        )


def check_moments(sampler: Sampler) -> None:
    """A stochastic sampler's output has the marginal's mean and variance in the limit of small steps.

    At least with the declared weak order; computed exactly on a Gaussian, where the sampler is linear in its noise.
    """
    for scale in SCALES:
        errors = [moment_error(sampler, GAUSSIAN, jagged_path(scale, n)) for n in STEPS]
        order = slope(STEPS, errors)
        require(
            order >= sampler.order - SLACK,
            sampler,
            f"mean and deviation converge with weak order {order:.2f} on a {scale} path, declares {sampler.order} "
            f"(errors {_show(errors)} at {STEPS} steps); the noise added does not match the noise removed",
        )


def check_noise_path(sampler: Sampler) -> None:
    """Twice as many steps along the same path of noise end near the same image, ever nearer as steps grow.

    Strong convergence, of order 1/2 at least: the root mean square of x_N - x_2N, with ``BrownianNoise``.
    """
    seeds, shape, steps = range(16), (16,), (20, 40, 80, 160)
    ends = []
    for count in steps:
        path = _even_path(count)
        noise = BrownianNoise(seeds, shape, dtype=torch.float64)
        ends.append(walk(sampler, BIMODAL, noise.initial() * path.levels[0].norm, path, noise))
    errors = [(one - other).square().mean().sqrt().item() for one, other in pairwise(ends)]
    order = slope(steps[:-1], errors)
    require(
        order >= 0.5,
        sampler,
        f"images of {steps} steps along one path of noise differ by {_show(errors)} from one to the next, which falls "
        f"with order {order:.2f}, expected 1/2 at least; noise(s, t) must be asked for the interval it belongs to",
    )


def check_scales_agree(sampler: Sampler) -> None:
    """x / alpha depends on sigma / alpha alone: variance exploding, preserving and flow paths give the same image."""
    for make, kind in ((jagged_path, "finite sigma/alpha"), (pure_noise_path, "alpha = 0")):
        scales = ("VE", "VP", "flow") if make is jagged_path else ("VP", "flow")
        found = {}
        for scale in scales:
            path = make(scale, 12)
            first, last = ends(sampler, path)
            x = normal_quantiles(8) * first.norm
            found[scale] = walk(sampler, BIMODAL, x, path, noise_for(sampler, x)) / (last.alpha or last.sigma)
        for one, other in pairwise(scales):
            difference = distance(found[one], found[other])
            require(
                difference < 1e-10,
                sampler,
                f"from {kind}, {one} and {other} paths of the same sigma/alpha differ by {difference:.1e}, expected "
                "< 1e-10; a formula holds for one process only, or loses float64 precision",
            )


def check_pure_noise_start(sampler: Sampler) -> None:
    """Starting at alpha = 0 (flow, zero terminal SNR) gives finite images that converge to the closed form.

    For a method that goes upwards this is where it ends.
    """
    _converges(sampler, 0.1, "a path from alpha = 0; log(alpha/sigma) is -inf there and needs the one-evaluation step")


def check_clean_end(sampler: Sampler) -> None:
    """A last step to sigma = 0 returns the model's last answer, and the image converges to the closed form."""
    for scale in () if getattr(sampler, "upwards", False) else SCALES:
        path = Path([*jagged_path(scale, 5).levels, CLEAN])
        model, x = Watched(BIMODAL), normal_quantiles(8)[2:3] * path.levels[0].norm
        difference = distance(walk(sampler, model, x, path, noise_for(sampler, x)), model.answers[-1])
        require(
            difference < 1e-12,
            sampler,
            f"a {scale} path to sigma = 0 ends {difference:.1e} away from the last x0; log(alpha/sigma) is inf there, "
            "so history has no weight and noise no place",
        )
    _converges(sampler, 0.0, "a path to sigma = 0")


def check_split_path(sampler: Sampler) -> None:
    """A path may end at sigma > 0: the result is x at that level, to be continued."""
    for scale in SCALES:
        error = _error(sampler, jagged_path(scale, 40, first=10.0, last=2.0))
        require(
            error < 0.25,
            sampler,
            f"a {scale} path that ends at sigma/alpha = 2 returns something {error:.2g} away from the exact state, "
            "expected < 0.25; the state at the last level is wanted, noise included, not x0",
        )


def check_one_step_path(sampler: Sampler) -> None:
    """One step works: to a clean image it is the model's answer, otherwise it is near the exact state."""
    x = normal_quantiles(8)
    clean_from = (PURE_NOISE, *(scale(2.0) for scale in SCALES.values()))
    for first in () if getattr(sampler, "upwards", False) else clean_from:
        difference = distance(walk(sampler, BIMODAL, x, Path([first, CLEAN]), noise_for(sampler, x)), BIMODAL(x, first))
        require(difference < 1e-12, sampler, f"one step from {tuple(first)} to clean is {difference:.1e} away from x0")
    error = _error(sampler, Path([Level(1.0, 1.0), Level(1.0, 0.5)]))
    message = (
        f"one step from sigma = 1 to 0.5 leaves an error of {error:.2g}, expected < 0.2 (0.3 to 0.4 is no step at all)"
    )
    require(error < 0.2, sampler, message)


CHECKS: tuple[Callable[[Sampler], None], ...] = (
    check_order,
    check_error_control,
    check_moments,
    check_noise_path,
    check_scales_agree,
    check_pure_noise_start,
    check_clean_end,
    check_split_path,
    check_one_step_path,
)


def _converges(sampler: Sampler, last: float, where: str) -> None:
    """To the closed form with order one at least, from alpha = 0 to the given sigma/alpha; with error control, near it.

    Twice the slack, because a step in log-SNR next to an infinite end never becomes small.
    """
    for scale in ("VP", "flow"):
        errors = [_error(sampler, pure_noise_path(scale, n, last)) for n in STEPS]
        if sampler.evaluations is None:
            far = f"errors are {_show(errors)}, expected < {NEAR}, in {scale} on {where}"
            require(max(errors) < NEAR, sampler, far)
            continue
        order = slope(STEPS, errors)
        require(
            order >= 1 - 2 * SLACK,
            sampler,
            f"converges with order {order:.2f}, expected 1 at least, in {scale} (errors {_show(errors)} at {STEPS} "
            f"steps) on {where}",
        )


def _even_path(steps: int) -> Path:
    """Equal steps in log(sigma/alpha): each level of a path is one of the path with twice as many steps."""
    return Path(SCALES["VP"](8.0 * (0.05 / 8.0) ** (i / steps)) for i in range(steps + 1))


def _trajectory_errors(sampler: Sampler, scale: str, steps: Sequence[int]) -> list[float]:
    return [trajectory_error(sampler, CASES[scale], jagged_path(scale, n)) for n in steps]


def _error(sampler: Sampler, path: Path) -> float:
    if sampler.stochastic:
        return moment_error(sampler, GAUSSIAN, path)
    return trajectory_error(sampler, BIMODAL, path)


def _show(errors: Sequence[float]) -> str:
    return ", ".join(f"{error:.1e}" for error in errors)

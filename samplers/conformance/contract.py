"""Checks of how a sampler behaves towards its host: what it asks for, what it listens to, what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..level import CLEAN, Level
from ..noise import SeededNoise, no_noise
from ..path import Path
from ..problems import BIMODAL
from ..protocols import Run, Sampler
from ..run import start
from .convergence import OneHot, jagged_path, pure_noise_path
from .trial import Watched, distance, noise_for, normal_quantiles, reply_of, require, walk


def check_declarations(sampler: Sampler) -> None:
    """The class says what it is, and a sampler that declares no noise asks for none."""
    kinds = {"order": (int,), "stochastic": (bool,), "evaluations": (int, type(None)), "needs": (tuple,)}
    for name, legal in kinds.items():
        value, words = getattr(sampler, name, "missing"), " or ".join(kind.__name__ for kind in legal)
        require(type(value) in legal, sampler, f"{name} is {value!r}, must be a class attribute of type {words}")
    least = sampler.order if sampler.evaluations is None else min(sampler.order, sampler.evaluations)
    require(least >= 1, sampler, "order and evaluations must be at least 1")
    if not sampler.stochastic:
        x = torch.zeros(1, 1, dtype=torch.float64)
        draws = OneHot(rows=1)
        walk(sampler, BIMODAL, x, jagged_path("VP", 4), draws)
        message = f"asked for noise {draws.count} times in 4 steps, but declares stochastic = False"
        require(not draws.count, sampler, message)


def check_batch_invariance(sampler: Sampler) -> None:
    """Image k is the same alone and in any batch, with noise from its own seed."""
    seeds, shape, path = (3, 1, 4, 15), (3,), jagged_path("flow", 7)
    together = _seeded_walk(sampler, seeds, shape, path)
    for k, seed in enumerate(seeds):
        difference = distance(_seeded_walk(sampler, (seed,), shape, path)[0], together[k])
        require(
            difference < 1e-12,
            sampler,
            f"image {k} of a batch of {len(seeds)} differs from the same seed alone by {difference:.1e}; a statistic "
            "is taken over the batch, or noise is drawn elsewhere than from noise(s, t)",
        )


def check_evaluations(sampler: Sampler) -> None:
    """A step costs ``evaluations`` model calls, one from alpha = 0 or to sigma = 0, and none is made at sigma = 0.

    The first steps between finite levels may cost ``start_evaluations`` more, together, and one from alpha = 0 may cost
    ``evaluations_from_noise``, where the sampler declares it.
    """
    assert sampler.evaluations is not None, "a sampler with error control is checked by its error"
    e, extra, steps = sampler.evaluations, getattr(sampler, "start_evaluations", 0), 6
    first = getattr(sampler, "evaluations_from_noise", 1)
    cases = {
        "between finite levels": (jagged_path("VP", steps), steps * e + extra),
        "to sigma = 0": (Path([*jagged_path("VP", steps - 1).levels, CLEAN]), (steps - 1) * e + 1 + extra),
        "from alpha = 0 to sigma = 0": (pure_noise_path("flow", steps, last=0.0), first + (steps - 2) * e + 1 + extra),
    }
    for name, (path, expected) in cases.items():
        model, x = Watched(BIMODAL), normal_quantiles(4) * path.levels[0].norm
        walk(sampler, model, x, path, noise_for(sampler, x))
        message = (
            f"{steps} steps {name} took {len(model.levels)} evaluations, expected {expected}, as evaluations = {e}"
        )
        require(len(model.levels) == expected, sampler, message)
        noisy = all(level.sigma for level in model.levels)
        require(noisy, sampler, "evaluated the model at sigma = 0, where no model is trained")


def check_host_edits(sampler: Sampler) -> None:
    """The x that the host hands back is the x that the run goes on from."""
    path, ignored = jagged_path("VP", 6), "the x that came back with x0 is ignored; write `x, x0 = yield x, s`"
    x, edited = normal_quantiles(6), normal_quantiles(6).flip(0) / 2
    end = walk(sampler, BIMODAL, x, path, noise_for(sampler, x), edits={0: edited})
    difference = distance(end, walk(sampler, BIMODAL, edited, path, noise_for(sampler, x)))
    message = f"a run edited at its first evaluation differs by {difference:.1e} from one started there; {ignored}"
    require(difference < 1e-12, sampler, message)
    model = Watched(_black)
    plain = walk(sampler, model, x, path, noise_for(sampler, x))
    for step in (3, 5):
        at = max((i for i, level in enumerate(model.levels) if level == path.levels[step]), default=0)
        shift = distance(walk(sampler, _black, x, path, noise_for(sampler, x), edits={at: edited}), plain)
        require(shift > 1e-3, sampler, f"an edit of x at step {step} moves the end by {shift:.1e} only; {ignored}")


def check_fresh_state(sampler: Sampler) -> None:
    """A sampler object holds settings only: runs repeat, and two runs of one object do not disturb each other."""
    path, x = jagged_path("VE", 6), normal_quantiles(6)[1:2] * 5
    alone = [walk(sampler, BIMODAL, start_x, path, noise_for(sampler, x)) for start_x in (x, -2 * x)]
    again = walk(sampler, BIMODAL, x, path, noise_for(sampler, x))
    require(torch.equal(again, alone[0]), sampler, "the same call twice gives two results; state is kept on the object")
    runs = [start(sampler, start_x, path, noise_for(sampler, x)) for start_x in (x, -2 * x)]
    ends = _alternate(runs, sampler)
    require(
        all(torch.equal(end, expected) for end, expected in zip(ends, alone, strict=True)),
        sampler,
        "two runs of one object change each other's results; history belongs in local variables of the generator",
    )


def check_dtype(sampler: Sampler) -> None:
    """The state is float64 for float64, and float32 for anything smaller, through the whole run."""
    path = jagged_path("flow", 6)
    x = normal_quantiles(6) / 3
    reference = walk(sampler, BIMODAL, x, path, noise_for(sampler, x))
    for given in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        state = torch.float64 if given == torch.float64 else torch.float32
        model = Watched(BIMODAL)
        end = walk(sampler, model, x.to(given), path, noise_for(sampler, x.to(given)))
        dtypes = {tensor.dtype for tensor in (*model.asked, end)}
        require(dtypes == {state}, sampler, f"a start in {given} runs in {dtypes}, expected {state} throughout")
        error, bound = distance(end, reference), 10 * torch.finfo(given).eps
        message = f"a start in {given} ends {error:.1e} from the float64 result, expected < {bound:.0e}"
        require(error < bound, sampler, message)
        if given == torch.float64:
            rounded = any(torch.equal(tensor.float().double(), tensor) for tensor in (*model.asked[1:], end))
            require(not rounded, sampler, "a float64 state was rounded to float32 on the way; convert no tensor")


def check_grad_mode(sampler: Sampler) -> None:
    """A suspended run leaves torch's grad mode as it found it."""
    for enabled in (True, False):
        x = normal_quantiles(4)[:1]
        with torch.set_grad_enabled(enabled):
            run, reply = start(sampler, x, jagged_path("VP", 4), noise_for(sampler, x)), None
            for _ in range(3):
                x, level = run.send(reply)  # type: ignore[arg-type]
                reply = reply_of(sampler, x, BIMODAL(x, level))
                inside = torch.is_grad_enabled()
                torch.set_grad_enabled(enabled)
                cause = "no context manager may span a yield; the driver owns no_grad"
                require(inside == enabled, sampler, f"grad mode turned from {enabled} to {inside} in the host; {cause}")
            run.close()


def check_shapes(sampler: Sampler) -> None:
    """Images of any number of dimensions, none included: the same elements give the same results."""
    path, flat = jagged_path("VP", 5), normal_quantiles(24)
    expected = walk(sampler, BIMODAL, flat, path, _Reshaped(flat.shape) if sampler.stochastic else no_noise)
    for shape in ((24,), (8, 3), (2, 1, 3, 2, 2)):
        noise = _Reshaped(shape) if sampler.stochastic else no_noise
        end = walk(sampler, BIMODAL, flat.view(shape), path, noise)
        require(end.shape == shape, sampler, f"x of shape {shape} came back as {tuple(end.shape)}")
        difference = distance(end.flatten(), expected)
        message = f"x of shape {shape} ends {difference:.1e} away from the same numbers in one flat batch"
        require(difference < 1e-12, sampler, message)


def check_leaves_tensors_alone(sampler: Sampler) -> None:
    """Nothing that host and sampler hand to each other is changed in place: hosts keep trajectories and caches."""
    path, x = jagged_path("VP", 5), normal_quantiles(6)[1:2]
    run, reply = start(sampler, x, path, noise_for(sampler, x)), None
    held = [("the starting x", x, x.clone())]
    while True:
        try:
            x, level = run.send(reply)  # type: ignore[arg-type]
        except StopIteration:
            break
        x0 = BIMODAL(x, level)
        held += [("an x it yielded", x, x.clone()), ("an x0 it received", x0, x0.clone())]
        reply = reply_of(sampler, x, x0)
    for name, tensor, before in held:
        require(torch.equal(tensor, before), sampler, f"{name} was changed in place; use add_ on new tensors only")


CHECKS: tuple[Callable[[Sampler], None], ...] = (
    check_declarations,
    check_batch_invariance,
    check_evaluations,
    check_host_edits,
    check_fresh_state,
    check_dtype,
    check_grad_mode,
    check_shapes,
    check_leaves_tensors_alone,
)


def _seeded_walk(sampler: Sampler, seeds: Sequence[int], shape: tuple[int, ...], path: Path) -> Tensor:
    noise = SeededNoise(seeds, shape, dtype=torch.float64)
    x = noise.initial() * path.levels[0].norm
    return walk(sampler, BIMODAL, x, path, noise if sampler.stochastic else no_noise)


def _alternate(runs: Sequence[Run], sampler: Sampler) -> list[Tensor]:
    """Advance runs in turns."""
    replies: dict[int, Any] = dict.fromkeys(range(len(runs)))
    ends = {}
    while replies:
        for i in list(replies):
            try:
                x, level = runs[i].send(replies[i])
            except StopIteration as stop:
                ends[i] = stop.value
                del replies[i]
            else:
                replies[i] = reply_of(sampler, x, BIMODAL(x, level))
    return [ends[i] for i in range(len(runs))]


def _black(x: Tensor, level: Level | Sequence[Level]) -> Tensor:
    """A model that always answers 0, so that a run sees the host's x through x alone."""
    return torch.zeros_like(x)


class _Reshaped:
    """The same stream of numbers for any shape with as many elements."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape, self.generator = shape, torch.Generator().manual_seed(0)

    def __call__(self, s: Level, t: Level) -> Tensor:
        count = torch.Size(self.shape).numel()
        return torch.randn(count, generator=self.generator, dtype=torch.float64).view(*self.shape)

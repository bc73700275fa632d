"""Checks of guidance: it uses the branches it asks for, keeps images apart, and is the identity where it should be.

What the branches predict are the exact denoisers of different Gaussians, in every process and at alpha = 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..level import PURE_NOISE, Level, variance_preserving
from ..perturbation import AttendedRegions, Branch, Judged, Perturbed, WatchedAttention
from ..problems import Mixture
from ..protocols import Combine, Guidance, Predictions
from .trial import distance, label, require

LEVELS = (PURE_NOISE, Level(1.0, 14.0), variance_preserving(1.5), Level(0.7, 0.3), Level(1.0, 0.05))
"""Those a run passes, whatever its process."""

SHAPE = (3, 4, 8, 8)


def check_branches(guidance: Guidance) -> None:
    """Branches are a tuple of different names, or descriptions, with cond among them, the same each time."""
    for level in LEVELS:
        found = guidance.branches(level)
        good = isinstance(found, tuple) and all(isinstance(branch, (str, Perturbed)) for branch in found)
        cond = any((branch.base if isinstance(branch, Perturbed) else branch) == "cond" for branch in found)
        message = f"branches({tuple(level)}) is {found!r}, must be a tuple of different names with 'cond' among them"
        require(good and cond and len(set(found)) == len(found), guidance, message)
        require(guidance.branches(level) == found, guidance, f"branches({tuple(level)}) has two different answers")


def check_uses_its_branches(guidance: Guidance) -> None:
    """The predictions of its branches are all it needs, and the answer is like them."""
    for level in LEVELS:
        x, predictions = _case(guidance, level)
        try:
            x0 = _guided(guidance.start(), x, level, predictions)
        except KeyError as error:
            missing = f"used prediction {error} at {tuple(level)}, where branches are {guidance.branches(level)}"
            raise AssertionError(f"{label(guidance)}: {missing}") from error
        good = x0.shape == x.shape and x0.dtype == x.dtype and bool(x0.isfinite().all())
        finite = "finite" if x0.isfinite().all() else "not finite"
        message = (
            f"answers {tuple(x0.shape)}, {x0.dtype}, {finite} at {tuple(level)}; expected finite {tuple(x.shape)}, "
            f"{x.dtype}; alpha = 0 and sigma near 0 are ordinary levels"
        )
        require(good, guidance, message)


def check_images_apart(guidance: Guidance) -> None:
    """Image k is guided the same alone and in a batch."""
    together, alone = guidance.start(), [guidance.start() for _ in range(SHAPE[0])]
    for level in LEVELS:
        x, predictions = _case(guidance, level)
        expected = _guided(together, x, level, predictions)
        for k, combine in enumerate(alone):
            rows = {name: tensor[k : k + 1] for name, tensor in predictions.items()}
            difference = distance(_guided(combine, x[k : k + 1], level, rows), expected[k : k + 1])
            message = (
                f"image {k} alone differs by {difference:.1e} from the same image in a batch of {SHAPE[0]}, at "
                f"{tuple(level)}; take norms and statistics over the dimensions of each image, x.flatten(1)"
            )
            require(difference < 1e-10, guidance, message)


def check_fresh_state(guidance: Guidance) -> None:
    """History belongs to a run: start() begins anew, and two runs at the same time do not meet."""
    first, second, answers = guidance.start(), guidance.start(), []
    for level in LEVELS:
        x, predictions = _case(guidance, level)
        answers.append(_guided(first, x, level, predictions))
        other = _guided(second, x, level, predictions)
        message = "a second run differs from the first; keep history in variables of start(), not on the object"
        require(torch.equal(answers[-1], other), guidance, message)


def check_leaves_tensors_alone(guidance: Guidance) -> None:
    """x and the predictions are the host's: they are not changed in place."""
    for level in LEVELS:
        x, predictions = _case(guidance, level)
        before = {"x": x.clone(), **{branch: tensor.clone() for branch, tensor in predictions.items()}}
        _guided(guidance.start(), x, level, predictions)
        for name, tensor in {"x": x, **predictions}.items():
            message = f"{name} was changed in place at {tuple(level)}; use new tensors"
            require(torch.equal(tensor, before[name]), guidance, message)


def check_equal_predictions(guidance: Guidance) -> None:
    """Where all branches predict the same, that is the answer: there is nothing to guide by."""
    combine = guidance.start()
    for level in LEVELS:
        x, predictions = _case(guidance, level, _agreed)
        difference = distance(_guided(combine, x, level, predictions, _agreed), _agreed("cond")(x, level))
        message = (
            f"answers {difference:.1e} away from a prediction on which all branches agree, at {tuple(level)}; weights "
            "must add to 1"
        )
        require(difference < 1e-6, guidance, message)


def check_scale_one(guidance: Guidance) -> None:
    """Settings ``scale``, or ``scale_...`` if there are more, of 1 are no guidance: the answer is cond.

    Of a guidance that is not wrapped around another one, whose scale may weigh what is added to that.
    """
    fields: Sequence[Any] = dataclasses.fields(guidance)  # type: ignore[arg-type]
    scales = {field.name: 1.0 for field in fields if field.name.startswith("scale")}
    if not scales or any(field.metadata.get("kind") == "guidance" for field in fields):
        return
    none = dataclasses.replace(guidance, **scales)  # type: ignore[type-var]
    combine = none.start()
    for level in LEVELS:
        x, predictions = _case(none, level)
        difference = distance(_guided(combine, x, level, predictions), predictions["cond"])
        message = (
            f"with {' = '.join(scales)} = 1 it answers {difference:.1e} away from cond, at {tuple(level)}; guidance "
            "here is uncond + scale (cond - uncond), so that 1 is none"
        )
        require(difference < 1e-6, guidance, message)


CHECKS: tuple[Callable[[Guidance], None], ...] = (
    check_branches,
    check_uses_its_branches,
    check_images_apart,
    check_fresh_state,
    check_leaves_tensors_alone,
    check_equal_predictions,
    check_scale_one,
)


Problem = Callable[[Branch], Mixture]
"""The data that a branch's network knows."""


def _own(branch: Branch) -> Mixture:
    """A Gaussian for each branch."""
    mean = 0.6 if branch == "cond" else -0.3 - 0.1 * (sum(map(ord, str(branch))) % 5)
    return Mixture(means=(mean,), stds=(0.5,))


def _agreed(branch: Branch) -> Mixture:
    """The same Gaussian for all."""
    return _own("cond")


def _case(guidance: Guidance, level: Level, problem: Problem = _own) -> tuple[Tensor, dict[Branch, Tensor]]:
    """A batch at the level, and what the branches there predict."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * level.norm
    return x, _predictions(x, level, guidance.branches(level), problem)


def _predictions(x: Tensor, level: Level, branches: Sequence[Branch], problem: Problem) -> dict[Branch, Tensor]:
    """x0 by branch; where attention is watched with one channel or two more, where it is judged with a gradient."""
    found = {branch: problem(branch)(x, level) for branch in branches}
    for branch in branches:
        change = branch.change if isinstance(branch, Perturbed) else None
        if isinstance(change, WatchedAttention):
            found[branch] = torch.cat([found[branch], x[:, :1].abs()], dim=1)
        elif isinstance(change, AttendedRegions):
            found[branch] = torch.cat([found[branch], (x[:, :2] > 0).to(x)], dim=1)
        elif isinstance(change, Judged):
            found[branch] = torch.cat([found[branch], found[branch] - _agreed(branch)(x, level)], dim=1)
    return found


def _guided(combine: Combine, x: Tensor, level: Level, predictions: Predictions, problem: Problem = _own) -> Tensor:
    """What a host gets from a combination, further questions answered."""
    combined = combine(x, level, predictions)
    if isinstance(combined, Tensor):
        return combined
    reply = None
    while True:
        try:
            x, level, branches = combined.send(reply)
        except StopIteration as stop:
            return stop.value
        reply = x, _predictions(x, level, branches, problem)

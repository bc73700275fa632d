"""Checks of guidance: it uses the branches it asks for, keeps images apart, and is the identity where it should be.

What the branches predict are the exact denoisers of different Gaussians, in every process and at alpha = 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..level import PURE_NOISE, Level, variance_preserving
from ..problems import Mixture
from ..protocols import Guidance
from .trial import distance, label, require

LEVELS = (PURE_NOISE, Level(1.0, 14.0), variance_preserving(1.5), Level(0.7, 0.3), Level(1.0, 0.05))
"""Those a run passes, whatever its process."""

SHAPE = (3, 4, 8, 8)


def check_branches(guidance: Guidance) -> None:
    """Branches are a tuple of different names with cond among them, the same each time."""
    for level in LEVELS:
        names = guidance.branches(level)
        good = isinstance(names, tuple) and all(isinstance(name, str) for name in names) and "cond" in names
        message = f"branches({tuple(level)}) is {names!r}, must be a tuple of different names with 'cond' among them"
        require(good and len(set(names)) == len(names), guidance, message)
        require(guidance.branches(level) == names, guidance, f"branches({tuple(level)}) has two different answers")


def check_uses_its_branches(guidance: Guidance) -> None:
    """The predictions of its branches are all it needs, and the answer is like them."""
    for level in LEVELS:
        x, predictions = _case(guidance, level)
        try:
            x0 = guidance.start()(x, level, predictions)
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
        expected = together(x, level, predictions)
        for k, combine in enumerate(alone):
            rows = {name: tensor[k : k + 1] for name, tensor in predictions.items()}
            difference = distance(combine(x[k : k + 1], level, rows), expected[k : k + 1])
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
        answers.append(first(x, level, predictions))
        other = second(x, level, predictions)
        message = "a second run differs from the first; keep history in variables of start(), not on the object"
        require(torch.equal(answers[-1], other), guidance, message)


def check_leaves_tensors_alone(guidance: Guidance) -> None:
    """x and the predictions are the host's: they are not changed in place."""
    for level in LEVELS:
        x, predictions = _case(guidance, level)
        before = {"x": x.clone(), **{name: tensor.clone() for name, tensor in predictions.items()}}
        guidance.start()(x, level, predictions)
        for name, tensor in {"x": x, **predictions}.items():
            message = f"{name} was changed in place at {tuple(level)}; use new tensors"
            require(torch.equal(tensor, before[name]), guidance, message)


def check_equal_predictions(guidance: Guidance) -> None:
    """Where all branches predict the same, that is the answer: there is nothing to guide by."""
    combine = guidance.start()
    for level in LEVELS:
        x, predictions = _case(guidance, level)
        same = dict.fromkeys(predictions, predictions["cond"])
        difference = distance(combine(x, level, same), predictions["cond"])
        message = (
            f"answers {difference:.1e} away from a prediction on which all branches agree, at {tuple(level)}; weights "
            "must add to 1"
        )
        require(difference < 1e-6, guidance, message)


def check_scale_one(guidance: Guidance) -> None:
    """Settings ``scale``, or ``scale_...`` if there are more, of 1 are no guidance: the answer is cond."""
    settings: Any = guidance
    scales = {field.name: 1.0 for field in dataclasses.fields(settings) if field.name.startswith("scale")}
    if not scales:
        return
    none = dataclasses.replace(settings, **scales)
    combine = none.start()
    for level in LEVELS:
        x, predictions = _case(none, level)
        difference = distance(combine(x, level, predictions), predictions["cond"])
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


def _case(guidance: Guidance, level: Level) -> tuple[Tensor, dict[str, Tensor]]:
    """A batch at the level, and for each branch the exact denoiser of a Gaussian of its own."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * level.norm
    names = guidance.branches(level)
    return x, {name: Mixture(means=(_mean(name),), stds=(0.5,))(x, level) for name in names}


def _mean(branch: str) -> float:
    return 0.6 if branch == "cond" else -0.3 - 0.1 * (sum(map(ord, branch)) % 5)

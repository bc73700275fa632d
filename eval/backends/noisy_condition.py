"""A model whose condition is noisy, or is nothing but noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...samplers.level import Level
from ...samplers.perturbation import IndependentCondition, NoisyCondition
from ..protocols import SEEDS, Condition
from .own_noise import own_noise

TEXTS = ("encoder_hidden_states", "text_embeds", "pooled_projections", "pattern")
"""The last part of the names of conditions that say what the image shows; sizes and masks are others."""

_names: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()


def noisy_condition(
    model: Any, change: NoisyCondition | IndependentCondition
) -> Callable[[Tensor, Sequence[Level], Condition], Tensor]:
    """
    Raises:
        ValueError: for a model without a condition that can have noise.
    """
    if model not in _names:
        _names[model] = [name for name, rows in model.encode([""]).items() if _is_text(name, rows)]
    names = _names[model]
    if not names:
        raise ValueError(f"{change} needs a condition with {' or '.join(TEXTS)}, which {model.id} has not")

    def denoise(x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        own = dict(condition)
        seeds = own.pop(SEEDS).tolist()
        kept = [_kept(change, model.schedule.time(level)) for level in levels]
        for name in names:
            noise = own_noise(seeds, levels, name, own[name].shape[1:]).to(own[name])
            own[name] = _independent(own[name], noise) if kept[0] is None else _noisy(own[name], noise, kept, change)
        return model.denoise(x, levels, own)

    return denoise


def _is_text(name: str, rows: Tensor) -> bool:
    return name.rsplit(".", 1)[-1] in TEXTS and rows.is_floating_point()


def _kept(change: NoisyCondition | IndependentCondition, time: float) -> float | None:
    """gamma: 1 up to the time ``clean``, 0 from ``gone`` on, linear between; None where nothing is ever kept."""
    if isinstance(change, IndependentCondition):
        return None
    if time <= change.clean or time >= change.gone:
        return float(time <= change.clean)
    return (change.gone - time) / (change.gone - change.clean)


def _independent(rows: Tensor, noise: Tensor) -> Tensor:
    mean, std = _moments(rows)
    return mean + std * noise


def _noisy(rows: Tensor, noise: Tensor, kept: Sequence[Any], change: Any) -> Tensor:
    """sqrt(gamma) y + noise sqrt(1 - gamma) n, then ``mixing`` parts of it with mean and deviation of y."""
    gamma = rows.new_tensor(kept).view(-1, *[1] * (rows.ndim - 1))
    noisy = gamma.sqrt() * rows + change.noise * (1 - gamma).sqrt() * noise
    (mean, std), (own_mean, own_std) = _moments(rows), _moments(noisy)
    rescaled = (noisy - own_mean) / own_std.clamp(min=torch.finfo(rows.dtype).tiny) * std + mean
    return torch.where(gamma == 1, rows, noisy.lerp(rescaled, change.mixing))


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of all that an image is told."""
    dims = tuple(range(1, rows.ndim))
    return rows.mean(dims, keepdim=True), rows.std(dims, keepdim=True)

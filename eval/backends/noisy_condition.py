"""A model whose condition is noisy, or is nothing but noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from ...samplers.level import Level
from ...samplers.moved import moved
from ...samplers.noisy_condition import STATES, SUMMARY, with_noise
from ...samplers.own_noise import own_noise
from ...samplers.perturbation import IndependentCondition, NoisyCondition
from ..protocols import SEEDS, Condition

TEXTS = {
    "encoder_hidden_states": STATES, "text_embeds": SUMMARY, "pooled_projections": SUMMARY, "pattern": "pattern",
}  # fmt: skip
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
        times = [model.schedule.time(level) for level in levels]
        for name in names:
            rows = own[name]
            noise = moved(own_noise(seeds, levels, TEXTS[_last(name)], rows.shape[1:]), rows.device, rows.dtype)
            own[name] = with_noise(rows, noise, times, change)
        return model.denoise(x, levels, own)

    return denoise


def _is_text(name: str, rows: Tensor) -> bool:
    return _last(name) in TEXTS and rows.is_floating_point()


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]

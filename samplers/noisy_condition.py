"""Conditions with noise, or of nothing but noise; see ``guidance.CADS`` and ``guidance.ICG``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .moved import tensor_like
from .perturbation import IndependentCondition, NoisyCondition

STATES, SUMMARY = "states", "summary"
"""What noise is drawn for, whatever a host calls the states of a text and the one vector for all of it."""


def with_noise(
    rows: Tensor, noise: Tensor, times: Sequence[float], change: NoisyCondition | IndependentCondition
) -> Tensor:
    """What each image is told, (B, ...), at the model's time of each, with unit normal noise of the same shape."""
    mean, std = _moments(rows)
    if isinstance(change, IndependentCondition):
        return mean + std * noise
    gamma = tensor_like([_kept(change, time) for time in times], rows).view(-1, *[1] * (rows.ndim - 1))
    noisy = gamma.sqrt() * rows + change.noise * (1 - gamma).sqrt() * noise
    own_mean, own_std = _moments(noisy)
    rescaled = (noisy - own_mean) / own_std.clamp(min=torch.finfo(rows.dtype).tiny) * std + mean
    return torch.where(gamma == 1, rows, noisy.lerp(rescaled, change.mixing))


def _kept(change: NoisyCondition, time: float) -> float:
    """gamma: 1 up to the time ``clean``, 0 from ``gone`` on, linear between."""
    if time <= change.clean or time >= change.gone:
        return float(time <= change.clean)
    return (change.gone - time) / (change.gone - change.clean)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of all that an image is told."""
    dims = tuple(range(1, rows.ndim))
    return rows.mean(dims, keepdim=True), rows.std(dims, keepdim=True)

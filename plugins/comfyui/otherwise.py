"""Predictions of a ComfyUI model that is asked in another way, without other layers: other inputs, or more answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ...samplers.level import Level
from ...samplers.perturbation import (
    AttendedRegions,
    IndependentCondition,
    NoisyCondition,
    NoisyTime,
    ScaledSkips,
    Windows,
)
from . import skips, told, windows
from .regions import Regions

OTHERWISE = (ScaledSkips, Windows, NoisyCondition, IndependentCondition, NoisyTime, AttendedRegions)


def predict(
    host: Any, model: Any, change: Any, conds: Sequence[Any], call: tuple[Tensor, Tensor, dict[str, Any]],
    levels: Sequence[Level], seeds: Sequence[int],
) -> list[Tensor]:  # fmt: skip
    """x0 under each of the conditionings; with regions of attention two channels more.

    Raises:
        ValueError: if this model cannot be asked so, with the reason.
    """
    x, sigma, options = call
    given = options.get("transformer_options", {})
    if isinstance(change, Windows):
        return windows.predict(host, model, change, conds, call)
    if isinstance(change, AttendedRegions):
        return [_with_regions(host, model, change, cond, call) for cond in conds]
    if isinstance(change, ScaledSkips):
        given = skips.options(given, model.diffusion_model, change)
    elif isinstance(change, NoisyTime):
        times = told.times_of(model, levels)
        given = told.timed(given, model.diffusion_model, change, seeds, levels, times)
    else:
        times = told.times_of(model, levels)
        conds = [told.noisy(cond, change, seeds, levels, times) for cond in conds]
    return host.calc_cond_batch(model, list(conds), x, sigma, {**options, "transformer_options": given})


def check(network: nn.Module, change: Any, shape: tuple[int, ...]) -> None:
    """
    Raises:
        ValueError: if a model with this network cannot be asked so of x of this shape, as far as the network says.
    """
    if isinstance(change, Windows):
        windows.check(network, shape)
    elif isinstance(change, AttendedRegions):
        Regions(network, change, shape)
    elif isinstance(change, ScaledSkips):
        skips.options({}, network, change)
    elif isinstance(change, NoisyTime):
        told.timed({}, network, change, [], [], [])


def _with_regions(
    host: Any, model: Any, change: AttendedRegions, cond: Any, call: tuple[Tensor, Tensor, dict[str, Any]]
) -> Tensor:
    x, sigma, options = call
    seen = Regions(model.diffusion_model, change, tuple(x.shape))
    transformer = seen.options(options.get("transformer_options", {}))
    (x0,) = host.calc_cond_batch(model, [cond], x, sigma, {**options, "transformer_options": transformer})
    return seen.beside(x0)

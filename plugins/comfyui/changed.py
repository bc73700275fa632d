"""Predictions of a ComfyUI model with its network changed, as ``samplers.perturbation`` describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...samplers import attention
from ...samplers.layer_names import chosen
from ...samplers.level import Level
from ...samplers.perturbation import (
    AttendedRegions,
    BlurredQueries,
    IdentityAttention,
    NetworkChange,
    NormalizedAttention,
    ScaledSkips,
    ShuffledTokens,
    SkippedLayers,
    SparseCrossAttention,
    WatchedAttention,
    WeakModel,
    Windows,
)
from . import dit, otherwise, unet
from .layers import is_unet, layers_of
from .otherwise import OTHERWISE
from .process import process_of
from .work import Work

SERVED = (
    IdentityAttention, BlurredQueries, SkippedLayers, ShuffledTokens, SparseCrossAttention, NormalizedAttention,
    WatchedAttention, WeakModel, *OTHERWISE,
)  # fmt: skip
OF_UNETS = (SparseCrossAttention, NormalizedAttention, WatchedAttention, ScaledSkips, Windows, AttendedRegions)
"""Those that other networks of ComfyUI refuse."""


def predict(
    host: Any, model: Any, change: Any, conds: Sequence[Any], call: tuple[Tensor, Tensor, dict[str, Any]],
    levels: Sequence[Level], against: Any = None, seeds: Sequence[int] = (),
) -> list[Tensor]:  # fmt: skip
    """x0 under each of the conditionings; of watched ones with channels more.

    Args:
        model: ComfyUI's BaseModel.
        call: x, sigma and model options, as for calc_cond_batch.
        levels: of the rows of x.
        seeds: of the images, for changes with noise.
        against: the conditioning that the change leads away from.

    Raises:
        ValueError: if this model cannot be changed so, with the reason.
    """
    x, sigma, options = call
    if isinstance(change, WeakModel):
        return weak(host, model, change.backend, conds, call)
    if isinstance(change, OTHERWISE):
        return otherwise.predict(host, model, change, conds, call, levels, seeds)
    if isinstance(change, WatchedAttention) and len(conds) > 1:
        return [predict(host, model, change, [cond], call, levels)[0] for cond in conds]
    work = started(model.diffusion_model, change, x, levels)
    if isinstance(change, NormalizedAttention):
        work.against = _states(host, against, x, sigma)
    make = unet.options if is_unet(work.network) else dit.options
    patched = {**options, "transformer_options": make(options.get("transformer_options", {}), work)}
    found = host.calc_cond_batch(model, list(conds), x, sigma, patched)
    _check_served(work)
    return [_with_map(x0, work) for x0 in found] if isinstance(change, WatchedAttention) else found


def started(network: Any, change: NetworkChange, x: Tensor, levels: Sequence[Level]) -> Work:
    """
    Raises:
        ValueError: for layers that there are not, or a change that this network cannot have.
    """
    if not is_unet(network):
        dit.check(network, change, x.ndim)
    layers = layers_of(network)
    try:
        names = chosen([layer.name for layer in layers], change)
    except ValueError as error:
        raise ValueError(f"layers: {error}") from None
    work = Work(network, change, [layer for layer in layers if layer.name in names], tuple(x.shape), list(levels))
    if isinstance(change, WatchedAttention) and (len(names) > 1 or x.ndim != 4):
        raise ValueError(f"layer: one self-attention can be watched, not those of {', '.join(names)}")
    return work


def weak(
    host: Any, model: Any, patcher: Any, conds: Sequence[Any], call: tuple[Tensor, Tensor, dict[str, Any]]
) -> list[Tensor]:
    """x0 by the weaker model, which ComfyUI has loaded beside the other one.

    Raises:
        ValueError: if there is none, or it is not of the same kind.
    """
    if patcher is None:
        raise ValueError("weak: connect the weaker MODEL")
    x, sigma, options = call
    other = patcher.model
    if other is model:
        raise ValueError("weak: this is the guided model itself, whose weights there are once; load another checkpoint")
    if type(other) is not type(model) or type(other.diffusion_model) is not type(model.diffusion_model):
        raise ValueError(
            f"weak: {type(other).__name__} is not of the kind of {type(model).__name__}; connect one that is"
        )
    theirs, ours = process_of(patcher.get_model_object("model_sampling")), process_of(model.model_sampling)
    if theirs != ours:
        raise ValueError(f"weak: its noise levels are not the model's ({theirs}, not {ours}); sample both the same way")
    if other.current_patcher is not patcher:
        patcher.pre_run()
    own = patcher.model_options
    path = options.get("transformer_options", {}).get("sample_sigmas")
    transformer = {**own.get("transformer_options", {}), "sample_sigmas": path}
    return host.calc_cond_batch(other, list(conds), x, sigma, {**own, "transformer_options": transformer})


def _states(host: Any, conditioning: Any, x: Tensor, sigma: Tensor) -> Tensor:
    """The states of the text, (B, tokens, features), of a conditioning in force at sigma."""
    if conditioning is None:
        raise ValueError("a negative conditioning is needed: use a guider with one, as CFGGuider")
    parts = [part for part in (host.get_area_and_mult(c, x, sigma) for c in conditioning) if part is not None]
    if len(parts) != 1 or parts[0].area is not None or "c_crossattn" not in parts[0].conditioning:
        raise ValueError("negative: one text for the whole image can be led away from, not several or one of an area")
    return parts[0].conditioning["c_crossattn"].cond


def _check_served(work: Work) -> None:
    missed = [layer.name for layer in work.layers if layer.name not in work.served]
    if (missed and not isinstance(work.change, (SparseCrossAttention, NormalizedAttention))) or not work.served:
        raise ValueError(f"{dit.architecture(work.network)} does not let its layers {', '.join(missed)} be changed")


def _with_map(x0: Tensor, work: Work) -> Tensor:
    (received,) = work.watched
    maps = received.unflatten(-1, attention.grid(x0.shape, received.shape[-1])).unsqueeze(1)
    return torch.cat([x0, interpolate(maps, x0.shape[-2:]).to(x0)], 1)

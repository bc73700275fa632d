"""diffusers: how predictions are combined."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers.level import variance_preserving
from .diffusers_schedulers import seeded
from .fault import Fault

SHAPE = (2, 4, 8, 8)
NONE = "distance from the conditional prediction, which scale 1 is"


def _predictions() -> tuple[Tensor, Tensor]:
    cond, uncond = torch.randn(2, *SHAPE, generator=seeded(0), dtype=torch.float64)
    return cond, uncond


def _ours(plugin: str) -> float:
    cond, uncond = _predictions()
    combine = build("guidance", plugin).start()
    guided = combine(torch.zeros_like(cond), variance_preserving(1.0), {"cond": cond, "uncond": uncond})
    return (guided - cond).abs().max().item()


def _theirs(combine: Callable[[Tensor, Tensor], Tensor]) -> float:
    cond, uncond = _predictions()
    return (combine(cond, uncond) - cond).abs().max().item()


def _apg(cond: Tensor, uncond: Tensor) -> Tensor:
    from diffusers.guiders.adaptive_projected_guidance import normalized_guidance

    return normalized_guidance(cond, uncond, 1.0, eta=0.0)


def _tcfg(cond: Tensor, uncond: Tensor) -> Tensor:
    from diffusers.guiders import TangentialClassifierFreeGuidance

    guider = TangentialClassifierFreeGuidance(1.0)
    guider.set_state(step=0, num_inference_steps=10, timestep=torch.tensor(0))
    return guider.forward(cond, uncond).pred if guider.is_conditional else cond


def _mambo(cond: Tensor, uncond: Tensor) -> Tensor:
    from diffusers.guiders.magnitude_aware_guidance import mambo_guidance

    return mambo_guidance(cond, uncond, 1.0)


FAULTS = (
    Fault(
        "apg-scale-one",
        "diffusers",
        "AdaptiveProjectedGuidance, default formulation",
        "The update is added to the unconditional prediction, in the paper (arXiv:2410.02416) to the conditional one.",
        NONE,
        functools.partial(_ours, "apg(scale=1.0)"),
        functools.partial(_theirs, _apg),
        at_most=1e-9,
        threads=("huggingface/diffusers#10173", "huggingface/diffusers#9626"),
    ),
    Fault(
        "tcfg",
        "diffusers",
        "TangentialClassifierFreeGuidance",
        "Its is_conditional reads an attribute that nobody sets, so it runs in no pipeline.",
        NONE,
        functools.partial(_ours, "tcfg(scale=1.0)"),
        functools.partial(_theirs, _tcfg),
        at_most=1e-9,
        raises="AttributeError",
        threads=("huggingface/diffusers#14796", "huggingface/diffusers#13764"),
    ),
    Fault(
        "magnitude-aware",
        "diffusers",
        "MagnitudeAwareGuidance",
        "It takes a matrix norm over three dimensions, so images with channels fail.",
        NONE,
        functools.partial(_ours, "magnitude_aware(scale=1.0)"),
        functools.partial(_theirs, _mambo),
        at_most=1e-9,
        raises="RuntimeError",
    ),
)

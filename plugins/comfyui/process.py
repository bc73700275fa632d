"""What ComfyUI's sigma means: noise levels from its numbers, and back.

A model's own ``noise_scaling`` says how it mixes image and noise at a sigma, whatever its class: ``x = x0 + sigma eps``
(Stable Diffusion, EDM, Cascade) or ``x = (1 - sigma) x0 + scale sigma eps`` (SD3, Flux, Wan).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...samplers.level import PURE_NOISE, Level

NEAR = 1e-5
"""Relative distance within which ComfyUI takes a sigma for sigma_max."""


@dataclass(frozen=True)
class Process:
    """A model's forward process in the units of SIGMAS.

    Attributes:
        flow: whether sigma is the time of a straight line from image to noise; else it is sigma/alpha.
        scale: of the noise of a flow.
        top: sigma_max where it stands for pure noise (zero terminal SNR), which ComfyUI writes as a large number.
        kept: x0 = kept * x + q * output at that sigma, |q| = 1: the part of x in it, 0 for a model that predicts x0.
    """

    flow: bool = False
    scale: float = 1.0
    top: float | None = None
    kept: float = 0.0

    def level(self, sigma: float) -> Level:
        """The noise level that ComfyUI calls sigma."""
        if self.flow:
            return Level(1.0 - sigma, sigma * self.scale)
        if self.top is not None and sigma >= self.top * (1 - NEAR):
            return PURE_NOISE
        return Level(1.0, sigma)

    def sigma(self, level: Level) -> float:
        """ComfyUI's number for a level in any scale."""
        if self.flow:
            return level.sigma / (level.sigma + self.scale * level.alpha)
        if not level.alpha:
            if self.top is None:
                raise ValueError("this model's noise ends at a finite sigma, but the level asked for is pure noise")
            return self.top
        return level.ve_sigma

    def gain(self, level: Level) -> float:
        """By what x at a level is multiplied to be in ComfyUI's scale; 1 for levels made by ``level``."""
        if self.flow:
            return 1 / (level.alpha + level.sigma / self.scale)
        if level.alpha:
            return 1 / level.alpha
        return math.hypot(1.0, self.sigma(level))

    def exact(self, x0: Tensor, scaled: Tensor, level: Level) -> Tensor:
        """x0 without the trace of the noise that ComfyUI's large sigma leaves in it at pure noise."""
        return x0 if level.alpha or self.flow else x0 - self.kept * scaled


def process_of(model_sampling: Any) -> Process:
    """Ask a model_sampling object how it mixes image and noise.

    Raises:
        ValueError: for a process that is neither of the two, and for zero terminal SNR with an eps prediction.
    """
    image, noise = (float(_mix(model_sampling, part)) for part in ((0.0, 1.0), (1.0, 0.0)))
    if math.isclose(image, 0.5):
        return Process(flow=True, scale=noise / 0.5)
    if math.isclose(image, 1.0) and not noise:
        return Process(flow=True)  # models that start from an image and take its place for the noise
    if not (math.isclose(image, 1.0) and math.isclose(noise, 0.5)):
        raise ValueError(
            f"{type(model_sampling).__name__} mixes {image:g} of the image with {noise:g} of noise at sigma 0.5: "
            "neither x0 + sigma eps nor (1 - sigma) x0 + sigma eps; use ComfyUI's samplers"
        )
    return _zero_snr(model_sampling) if getattr(model_sampling, "zsnr", False) else Process()


def _mix(model_sampling: Any, part: tuple[float, float]) -> Tensor:
    noise, image = (torch.full((1, 1, 1, 1), value) for value in part)
    return model_sampling.noise_scaling(torch.full((1,), 0.5), noise, image, False).view(())


def _zero_snr(model_sampling: Any) -> Process:
    top = float(model_sampling.sigma_max)
    kept, weight = (
        abs(float(model_sampling.calculate_denoised(torch.full((1,), top), *(torch.full((1,), v) for v in part))))
        for part in ((0.0, 1.0), (1.0, 0.0))
    )
    if weight > 2:
        raise ValueError(
            "the model's noise ends at zero SNR, where an eps prediction says nothing about the image: set sampling to "
            "v_prediction (for a model trained on it) or zsnr to false in its ModelSamplingDiscrete node"
        )
    return Process(top=top, kept=kept)

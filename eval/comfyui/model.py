"""What a ComfyUI graph hands over, as a model of the harness, evaluated in the host's own way."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...plugins.comfyui import otherwise
from ...plugins.comfyui.changed import started
from ...plugins.comfyui.process import process_of
from ...plugins.comfyui.schedule import schedule_of
from ...samplers.level import Level
from ...samplers.perturbation import Change, NetworkChange, NormalizedAttention
from ..protocols import AGAINST, SEEDS, Condition
from .identity import identity

CONDITION = "condition"
NEGATIVE = -1


class GraphModel:
    """A MODEL with conditionings and a VAE. Each positive conditioning has a prompt; "" is the negative one.

    Raises:
        ValueError: for prompts and conditionings that are not as many.
    """

    def __init__(
        self, model: Any, vae: Any, positive: Sequence[Any], negative: Any, prompts: Sequence[str], latent: Tensor
    ) -> None:
        if len(prompts) != len(positive):
            raise ValueError(
                f"prompts: {len(prompts)} given for {len(positive)} positive conditionings; give one for each"
            )
        self.patcher, self.vae, self.prompts = model, vae, list(prompts)
        self.conditionings = [*positive, negative]
        sampling = model.get_model_object("model_sampling")
        self.process, self.schedule, self.prediction = (
            process_of(sampling),
            schedule_of(sampling),
            _prediction(sampling),
        )
        self.change: Change | None = None
        self.shape = _shape(model, latent)
        self.network = model.model.diffusion_model
        parts = (model.patches, model.model_options, sampling, vae.first_stage_model, self.conditionings)
        self.id = f"comfyui/{type(model.model).__name__.lower()}-{identity(self.network, *parts)}"

    def encode(self, prompts: Sequence[str]) -> Condition:
        """{"condition": (B,)}, the place of each prompt's conditioning, -1 for the negative one."""
        unknown = set(prompts) - {"", *self.prompts}
        if unknown:
            raise ValueError(f"no conditioning is connected for {', '.join(map(repr, sorted(unknown)))}")
        return {CONDITION: torch.tensor([self.prompts.index(prompt) if prompt else NEGATIVE for prompt in prompts])}

    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x], one level per row: one call of the host for each level and conditioning."""
        against = condition.get(AGAINST + CONDITION, torch.full((len(x),), NEGATIVE))
        places = zip(condition[CONDITION].tolist(), against.tolist(), strict=True)
        groups: dict[tuple[Level, tuple[int, int]], list[int]] = {}
        for row, key in enumerate(zip(levels, places, strict=True)):
            groups.setdefault(key, []).append(row)
        parts: list[Tensor] = [x] * len(x)
        for (level, (place, other)), rows in groups.items():
            seeds = condition[SEEDS][rows].tolist() if SEEDS in condition else []
            found = self._evaluate(x[rows], level, self.conditionings[place], self.conditionings[other], seeds)
            for row, x0 in zip(rows, found, strict=True):
                parts[row] = x0
        return torch.stack(parts)

    def perturbed(self, change: Change) -> GraphModel:
        """This model with the change in its network.

        Raises:
            ValueError: if it cannot be changed so, with the reason.
        """
        if isinstance(change, otherwise.OTHERWISE):
            otherwise.check(self.network, change, (1, *self.shape))
        elif isinstance(change, NetworkChange):
            started(self.network, change, torch.empty(1, *self.shape), [])
        else:
            raise ValueError(f"{change}: a sweep in a graph has no such predictions; use another guidance")
        other = copy.copy(self)
        other.change = change
        return other

    def decode(self, x: Tensor) -> Tensor:
        """Clean latents to uint8 (B, 3, H, W), where the host puts images; of a video its first frame."""
        images = self.vae.decode(self.patcher.model.process_latent_out(x))
        images = images[:, 0] if images.ndim == 5 else images
        return images[..., :3].movedim(-1, 1).clamp(0, 1).mul(255).round().to(torch.uint8)

    def _evaluate(self, x: Tensor, level: Level, conditioning: Any, against: Any, seeds: Sequence[int]) -> Tensor:
        from .host import predict

        scaled = x * self.process.gain(level)
        other = against if isinstance(self.change, NormalizedAttention) else None
        sigma = self.process.sigma(level)
        found = predict(self.patcher, scaled, sigma, level, conditioning, self.change, other, seeds).to(x)
        x0, more = found[:, : x.shape[1]], found[:, x.shape[1] :]
        return torch.cat([self.process.exact(x0, scaled, level), more], 1)


def _shape(model: Any, latent: Tensor) -> tuple[int, ...]:
    """Of one latent; an empty one is given the model's number of channels, as samplers of ComfyUI do."""
    layout, shape = model.get_model_object("latent_format"), list(latent.shape[1:])
    shape[0] = layout.latent_channels
    if getattr(layout, "latent_dimensions", 2) == 3 and len(shape) == 3:
        shape.insert(1, 1)
    return tuple(shape)


def _prediction(sampling: Any) -> str:
    """Whether the network says nothing about the image at pure noise."""
    if process_of(sampling).flow:
        return "flow"
    sigma, one = torch.full((1,), 10.0), torch.ones(1, 1, 1, 1)
    weight = abs(float(sampling.calculate_denoised(sigma, one, one * 0.0)))
    return "eps" if weight > 2 else "v"

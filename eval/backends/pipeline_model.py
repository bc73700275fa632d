"""A diffusers pipeline taken apart: its network is replayed, its scheduler only read."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...plugins.diffusers.scheduler_config import read_scheduler
from ...samplers.level import Level
from ...samplers.perturbation import Change
from ..protocols import Condition, Model
from .changed import perturbed
from .latents import Decoder
from .replay import Replay

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .diffusers_pipeline import Diffusers

PROBE_STEPS = 4


class DiffusersModel:
    """A pipeline taken apart: its network is replayed, its scheduler only read."""

    def __init__(self, settings: Diffusers, pipe: Any, name: str) -> None:
        self.id = f"diffusers/{name}"
        self.pipe, self.settings = pipe, settings
        self.network: nn.Module = network_of(pipe)
        self.device = next(self.network.parameters()).device
        self.dtype = next(self.network.parameters()).dtype
        self.decoder = Decoder(pipe, settings.height, settings.width)
        self.replay = Replay(pipe, self.network, self._arguments)
        scheduler = pipe.scheduler
        self._predict = read_scheduler(type(scheduler).__name__, scheduler.config, self.replay.call.mu)
        self.schedule, self.prediction, self.shape = self._predict.schedule, self._predict.kind, self.replay.shape

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Condition:
        """Conditions of these prompts, rows in their order; "" is what the pipeline takes for no prompt."""
        return self.replay.encode(prompts)

    @torch.no_grad()
    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x], one level per row."""
        return self._predict.denoise(lambda own, times: self.replay(own, times, condition), x, levels)

    def decode(self, x: Tensor) -> Tensor:
        """Clean latents (B, *shape) to uint8 (B, 3, H, W) on the CPU."""
        return self.decoder(x)

    def perturbed(self, change: Change) -> Model:
        """This pipeline with the change in its network; ValueError if that cannot be."""
        return perturbed(self, change)

    def _arguments(self, prompts: Sequence[str], guided: bool = False) -> dict[str, Any]:
        """The pipeline's keyword arguments for these prompts, those that it knows."""
        parameters = inspect.signature(self.pipe.__call__).parameters
        config: Any = self.network.config
        distilled = config.get("guidance_embeds") or config.get("time_cond_proj_dim")
        wanted = {
            "prompt": list(prompts),
            "batch_size": len(prompts),
            "height": self.settings.height,
            "width": self.settings.width,
            "num_inference_steps": PROBE_STEPS,
            "guidance_scale": self.settings.distilled_guidance if distilled else 2.0 if guided else 1.0,
            "generator": torch.Generator().manual_seed(0),
            "output_type": "latent",
            "use_resolution_binning": False,
        }
        return {name: value for name, value in wanted.items() if name in parameters and value is not None}


def network_of(pipe: Any) -> nn.Module:
    """
    Raises:
        ValueError: unless the pipeline has exactly one network that denoises.
    """
    found = [name for name in pipe.components if name.startswith(("unet", "transformer")) and pipe.components[name]]
    if found not in (["unet"], ["transformer"]):
        raise ValueError(
            f"{type(pipe).__name__} denoises with {found or 'neither a unet nor a transformer'}; legal are pipelines "
            "with exactly one unet or transformer"
        )
    return pipe.components[found[0]]

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
from .latents import Autoencoder
from .memory import Rows
from .replay import CHANNELS, PROBES, Replay
from .source_image import SourceImage, read_image

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .diffusers_pipeline import Diffusers

PROBE_STEPS = 4
CLASSES = ("0", "1", "2")


class DiffusersModel:
    """A pipeline taken apart: its network is replayed, its scheduler only read."""

    def __init__(self, settings: Diffusers, pipe: Any, name: str) -> None:
        self.id = f"diffusers/{name}"
        self.pipe, self.settings = pipe, settings
        self.network: nn.Module = network_of(pipe)
        self.device, self.strength = pipe._execution_device, settings.strength
        self.dtype = next(self.network.parameters()).dtype
        self.parameters = inspect.signature(pipe.__call__).parameters
        self.autoencoder = Autoencoder(pipe, settings.height, settings.width)
        self.replay = Replay(pipe, self.network, self._arguments, CLASSES if self._by_class else PROBES)
        scheduler = pipe.scheduler
        self._predict = read_scheduler(type(scheduler).__name__, scheduler.config, self.replay.call.mu)
        self.schedule, self.prediction, self.shape = self._predict.schedule, self._predict.kind, self.replay.shape
        self.memory = Rows(f"{type(self.network).__name__} of {self.id}")
        self.source = self._source()

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Condition:
        """Conditions of these prompts, rows in their order; "" is what the pipeline takes for no prompt."""
        return self.replay.encode(prompts)

    def begin(self, noise: Tensor, level: Level) -> Tensor:
        """The first x of a walk from this level, of unit noise."""
        return noise * level.norm if self.source is None else self.source.begin(noise, level, self.strength)

    @torch.no_grad()
    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x], one level per row."""

        def evaluate(part: slice) -> Tensor:
            own = {name: rows[part] for name, rows in condition.items()}
            return self._predict.denoise(lambda y, times: self.replay(y, times, own), x[part], levels[part])

        x0 = self.memory(len(x), evaluate)
        return x0 if self.source is None else self.source.kept(x0)

    def decode(self, x: Tensor) -> Tensor:
        """Clean latents (B, *shape) to uint8 (B, 3, H, W) on the CPU."""
        return self.autoencoder.decode(x)

    def perturbed(self, change: Change) -> Model:
        """This pipeline with the change in its network; ValueError if that cannot be."""
        return perturbed(self, change)

    @property
    def _by_class(self) -> bool:
        return "class_labels" in self.parameters

    def _source(self) -> SourceImage | None:
        """The image that walks start from, if they do not start from noise."""
        settings, conditioned = self.settings, CHANNELS in self.replay.conditions
        if conditioned and settings.strength < 1 and "strength" not in self.parameters:
            raise ValueError(f"strength: {self.replay.name} does not start from its image; leave it out")
        if not settings.image or (conditioned and settings.strength == 1):
            return None
        mask = "" if conditioned else settings.mask
        return SourceImage(self.autoencoder, self.shape, settings.image, mask, self.device)

    def _arguments(self, prompts: Sequence[str], guided: bool = False) -> dict[str, Any]:
        """The pipeline's keyword arguments for these prompts, those that it knows."""
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
            **self._pictures(prompts),
        }
        if self._by_class:
            wanted["class_labels"] = [self._label(prompt) for prompt in prompts]
        return {name: value for name, value in wanted.items() if name in self.parameters and value is not None}

    def _pictures(self, prompts: Sequence[str]) -> dict[str, Any]:
        """Arguments for the images that the settings name."""
        settings, found = self.settings, dict[str, Any]()
        if settings.image:
            found["image"] = [read_image(settings.image)] * len(prompts)
            found["strength"] = 1.0
            found["generator"] = [torch.Generator().manual_seed(0) for _ in prompts]  # so that a row has its own noise
        if settings.mask:
            found["mask_image"] = [read_image(settings.mask)] * len(prompts)
        if settings.control_image:
            found["control_image" if "control_image" in self.parameters else "image"] = read_image(
                settings.control_image
            )
            found["controlnet_conditioning_scale"] = settings.control_scale
        if settings.ip_image:
            found["ip_adapter_image"] = read_image(settings.ip_image)
        return found

    def _label(self, prompt: str) -> int:
        """The number of a class, given as such or by a name that the pipeline knows; "" is no class."""
        config: Any = self.network.config
        count: int = config.num_embeds_ada_norm
        if not prompt:
            return count
        names = getattr(self.pipe, "labels", None) or {}
        if prompt.strip().isdecimal() and int(prompt) < count:
            return int(prompt)
        if prompt in names:
            return names[prompt]
        raise ValueError(
            f"{type(self.pipe).__name__} makes classes: prompt {prompt!r} must be one of 0 ... {count - 1}"
            + (" or the name of one" if names else "")
        )


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

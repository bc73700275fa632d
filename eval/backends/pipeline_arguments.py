"""The keyword arguments that a pipeline of diffusers is called with, from the settings of its backend."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .source_image import read_image

if TYPE_CHECKING:
    from .diffusers_pipeline import Diffusers

PROBE_STEPS = 4
PROBES = ("a cat", "a small red bird that sits on a branch", "two ships at night")
CLASSES = ("0", "1", "2")


class PipelineArguments:
    """Prompts to keyword arguments; a pipeline that makes classes is given their numbers.

    Args:
        image: in the place of the file that the settings name.

    Raises:
        ValueError: for a size that the pipeline would round.
    """

    def __init__(self, pipe: Any, network: nn.Module, settings: Diffusers, image: Any = None) -> None:
        _check_size(pipe, settings)
        self.pipe, self.network, self.settings = pipe, network, settings
        self.image = read_image(settings.image) if settings.image else image
        self.parameters = inspect.signature(pipe.__call__).parameters
        self.by_class = "class_labels" in self.parameters
        self.probes = CLASSES if self.by_class else PROBES

    def __call__(
        self,
        prompts: Sequence[str],
        guided: bool = False,
        images: Sequence[Any] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """Those that the pipeline knows, for these prompts.

        Args:
            images: one for each prompt, where they are not all the same.
            seeds: of what the pipeline draws; all are 0 by default, so that rows are alike in noise.
        """
        config: Any = self.network.config
        distilled = config.get("guidance_embeds") or config.get("time_cond_proj_dim")
        wanted = {
            "prompt": list(prompts),
            "batch_size": len(prompts),
            "height": self.settings.height,
            "width": self.settings.width,
            "num_inference_steps": PROBE_STEPS,
            "guidance_scale": self.settings.distilled_guidance if distilled else 2.0 if guided else 1.0,
            "generator": [torch.Generator().manual_seed(seed) for seed in seeds or [0] * len(prompts)],
            "output_type": "latent",
            "use_resolution_binning": False,
            **self._pictures(prompts, images),
        }
        if self.by_class:
            wanted["class_labels"] = [self._label(prompt) for prompt in prompts]
        return {name: value for name, value in wanted.items() if name in self.parameters and value is not None}

    def _pictures(self, prompts: Sequence[str], images: Sequence[Any] | None) -> dict[str, Any]:
        """Arguments for the images that the pipeline starts from or is given."""
        settings, found = self.settings, dict[str, Any]()
        if self.image is not None:
            found["image"] = list(images or [self.image] * len(prompts))
            found["strength"] = 1.0
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


def _check_size(pipe: Any, settings: Diffusers) -> None:
    """Pipelines that pack 2 x 2 latents into one token, such as Flux, round other sizes down; others refuse them."""
    if not hasattr(pipe, "_pack_latents"):
        return
    unit = 2 * pipe.vae_scale_factor
    for name in ("height", "width"):
        given = getattr(settings, name)
        if given and given % unit:
            near = " or ".join(str(side) for side in (given // unit * unit, given // unit * unit + unit) if side)
            raise ValueError(f"{name} = {given}: {type(pipe).__name__} draws multiples of {unit} pixels; use {near}")

"""Any image pipeline of diffusers, from a folder or the hub, sampled by this package's samplers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...samplers.settings import setting, settings

if TYPE_CHECKING:
    from .pipeline_model import DiffusersModel


@settings
class Diffusers:
    """A diffusers pipeline: Stable Diffusion, SDXL, SD3, Flux, PixArt, DiT and others, through one code path.

    Its schedule and prediction type come from its scheduler's config, the conditions from watching the pipeline itself.
    What is added to it (LoRA, ControlNet, IP-Adapter, textual inversion) and what it starts from are settings too: list
    several models to vary them. Files count by their contents. von Platen et al. 2022,
    https://github.com/huggingface/diffusers.
    """

    path: str = setting("", help="a folder written by save_pretrained, or owner/name on the hub")
    height: int | None = setting(None, low=8, high=16384, help="of the images; default: the pipeline's own")
    width: int | None = setting(None, low=8, high=16384, help="of the images; default: the pipeline's own")
    distilled_guidance: float = setting(
        3.5, low=0.0, high=100.0, help="guidance as an input of the network (Flux, LCM); other networks ignore it"
    )
    lora: str = setting("", help="safetensors file of a LoRA, merged into the weights")
    lora_scale: float = setting(1.0, low=-10.0, high=10.0, help="how much of the LoRA; 0 is none")
    embedding: str = setting("", help="safetensors file of a textual inversion")
    token: str = setting("", help="the word of prompts that the embedding stands for; default: the file's own")
    controlnet: str = setting("", help="folder of a ControlNet, written by save_pretrained")
    control_image: str = setting("", help="image file that the ControlNet sees")
    control_scale: float = setting(1.0, low=0.0, high=10.0, help="strength of the ControlNet")
    ip_adapter: str = setting("", help="safetensors file of an IP-Adapter, its image_encoder folder beside it")
    ip_image: str = setting("", help="image file that the IP-Adapter sees")
    ip_scale: float = setting(1.0, low=0.0, high=10.0, help="strength of the IP-Adapter")
    image: str = setting("", help="image file to start from: image to image, inpainting or super-resolution")
    strength: float = setting(1.0, low=0.0, high=1.0, help="part of the steps that is walked, from the noised image")
    mask: str = setting("", help="image file: white is made anew, black is kept")
    gradual: bool = setting(False, help="grey of the mask is the time, 1 at noise, from which on a place is made anew")
    offload: str = setting(
        "none", choices=("none", "model", "sequential"), help="keeps on the GPU only the network, or the layer, at work"
    )

    def load(self, device: str = "cpu", dtype: str = "float32", picture: Any = None) -> DiffusersModel:
        """
        Args:
            picture: one that the pipeline is given, where ``image`` names none.

        Raises:
            FileNotFoundError, ValueError, ImportError: the folder, the hub's model, a file or a package is missing, the
                settings do not go together, or the pipeline is of a kind that cannot be replayed; naming it and the
                remedy.
        """
        from .added import add, check
        from .pipeline_folder import load_pipeline, pipeline_folder, placed
        from .pipeline_model import DiffusersModel
        from .precision import torch_dtype
        from .weights_hash import folder_hash

        number = torch_dtype(dtype, device)
        check(self, device, picture)
        folder = pipeline_folder(self.path)
        name = f"{folder_name(self.path)}-{folder_hash(folder)}{varied(self)}"
        pipe = placed(add(load_pipeline(folder, number), self), device, self.offload)
        return DiffusersModel(self, pipe, name, picture)


def varied(settings: Diffusers) -> str:
    """The settings that make it another model, in brackets, files by their names and contents; "" if none do."""
    from .added import FILES
    from .weights_hash import content_hash

    texts = []
    for field in dataclasses.fields(settings):
        name, value = field.name, getattr(settings, field.name)
        if name not in ("path", "offload") and value != field.default:
            texts.append(f"{name}={Path(value).stem}-{content_hash(value)}" if name in FILES else f"{name}={value}")
    return f"({', '.join(texts)})" if texts else ""


def folder_name(path: str) -> str:
    """The last part of a path or of a hub id, in lower case."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].lower()

"""What is added to a pipeline of diffusers as it is loaded: LoRA, textual inversion, ControlNet and IP-Adapter."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .diffusers_pipeline import Diffusers

TOGETHER = (
    ("control_image", "controlnet"),
    ("controlnet", "control_image"),
    ("ip_image", "ip_adapter"),
    ("ip_adapter", "ip_image"),
    ("mask", "image"),
    ("token", "embedding"),
)
"""Settings, and the one that each needs."""


FILES = ("lora", "embedding", "controlnet", "control_image", "ip_adapter", "ip_image", "image", "mask")
"""Settings that are files or folders."""


def check(settings: Diffusers, device: str, picture: Any = None) -> None:
    """
    Args:
        picture: one that stands for ``image``.

    Raises:
        FileNotFoundError: for a file that does not exist.
        ValueError: for a setting without what it needs, and for weights that are not safetensors.
    """
    for name, needed in TOGETHER:
        if getattr(settings, name) and not getattr(settings, needed):
            raise ValueError(f"{name} = {getattr(settings, name)!r} needs {needed}, which is not given")
    if settings.strength < 1 and not settings.image and picture is None:
        raise ValueError(f"strength = {settings.strength} needs image, which is not given")
    if settings.gradual and not settings.mask:
        raise ValueError("gradual = True needs mask, which is not given")
    if settings.offload != "none" and torch.device(device).type == "cpu":
        raise ValueError(f"offload = {settings.offload!r} needs an accelerator; on the CPU leave it out")
    for name in ("lora", "embedding", "ip_adapter"):
        if (file := getattr(settings, name)) and not file.endswith(".safetensors"):
            raise ValueError(f"{name} = {file!r}: must be a .safetensors file; other formats can run code as they load")
    for name in FILES:
        if (file := getattr(settings, name)) and not Path(file).expanduser().exists():
            raise FileNotFoundError(f"{name} = {file!r} is not here; download it and give its path")


def add(pipe: Any, settings: Diffusers) -> Any:
    """The pipeline with all that its settings add.

    Raises:
        ImportError: if a package is missing.
        ValueError: if it cannot take one of them, naming it.
    """
    for name, put in (
        ("lora", _lora),
        ("embedding", _embedding),
        ("ip_adapter", _ip_adapter),
        ("controlnet", _control),
    ):
        if file := getattr(settings, name):
            try:
                pipe = put(pipe, Path(file).expanduser(), settings)
            except (OSError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
                raise ValueError(f"{type(pipe).__name__} cannot take {name} = {file!r}: {error}") from error
    return pipe


def _lora(pipe: Any, file: Path, settings: Diffusers) -> Any:
    """W + lora_scale (alpha / rank) B A in every layer that the file names; then its layers are as they were."""
    if importlib.util.find_spec("peft") is None:
        raise ImportError("a LoRA needs peft: pip install 'sigmabench[pipelines]'")
    pipe.load_lora_weights(str(file.parent), weight_name=file.name, local_files_only=True)
    adapted = [name for names in pipe.get_list_adapters().values() for name in names]
    if not adapted:
        raise ValueError("none of its layers is one of the pipeline's")
    pipe.fuse_lora(components=list(pipe.get_list_adapters()), lora_scale=settings.lora_scale)
    pipe.unload_lora_weights()
    return pipe


def _embedding(pipe: Any, file: Path, settings: Diffusers) -> Any:
    """One word more for each text encoder that the file has vectors for: SDXL's has them for two."""
    from safetensors.torch import load_file

    vectors, token = load_file(file), settings.token or None
    encoders = {"clip_l": "", "clip_g": "_2"}
    if not vectors.keys() <= encoders.keys():
        pipe.load_textual_inversion(vectors, token=token)
        return pipe
    if token is None:
        raise ValueError("it does not name its word; set token")
    for name, rows in vectors.items():
        encoder, tokenizer = (getattr(pipe, part + encoders[name]) for part in ("text_encoder", "tokenizer"))
        pipe.load_textual_inversion(rows, token=token, text_encoder=encoder, tokenizer=tokenizer)
    return pipe


def _ip_adapter(pipe: Any, file: Path, settings: Diffusers) -> Any:
    if getattr(pipe, "unet", None) is None:
        raise ValueError(
            "its network is no U-Net, and IP-Adapters are served for those of Stable Diffusion 1.5 and SDXL alone; "
            "leave ip_adapter and ip_image out, or give a pipeline of these"
        )
    pipe.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, local_files_only=True)
    pipe.set_ip_adapter_scale(settings.ip_scale)
    return pipe


def _control(pipe: Any, folder: Path, settings: Diffusers) -> Any:
    """The pipeline of the same family that asks a ControlNet."""
    from diffusers import AutoModel, AutoPipelineForText2Image

    controlnet = AutoModel.from_pretrained(
        str(folder), torch_dtype=pipe.dtype, local_files_only=True, use_safetensors=True
    )
    controlled = AutoPipelineForText2Image.from_pipe(pipe, controlnet=controlnet)
    controlled.set_progress_bar_config(disable=True)
    return controlled

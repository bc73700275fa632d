"""Finding a diffusers pipeline on disk or on the hub, and saying plainly what is missing."""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from .latents import autoencoder_of

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def pipeline_folder(path: str) -> Path:
    """The folder of a pipeline. A folder that exists is never looked for on the hub; ``owner/name`` is downloaded once.

    Raises:
        FileNotFoundError: for a path that does not exist, and a hub id that cannot be had.
        ValueError: for an empty path, and for a folder or file that is not a pipeline.
    """
    if not path:
        raise ValueError("the diffusers backend needs a path: a pipeline's folder, or owner/name on the hub")
    folder = Path(path).expanduser()
    if folder.exists():
        if not (folder / "model_index.json").is_file():
            raise ValueError(
                f"{path} is not a diffusers pipeline: it has no model_index.json. Give a folder that save_pretrained "
                "wrote; of a single file, make one with StableDiffusionPipeline.from_single_file(file).save_pretrained"
            )
        return folder
    if HUB_ID.fullmatch(path):
        return _downloaded(path)
    raise FileNotFoundError(f"{path} does not exist; give a diffusers pipeline's folder, or owner/name on the hub")


def load_pipeline(folder: Path, dtype: torch.dtype) -> Any:
    """The pipeline, from safetensors alone, without its safety checker: nothing is shown, and nothing may be blanked.

    Raises:
        ImportError: where it needs a package that is not installed.
        ValueError: where its files cannot be read.
    """
    index = json.loads((folder / "model_index.json").read_text())
    libraries = {entry[0] for entry in index.values() if isinstance(entry, list) and entry[0]}
    for library in sorted(libraries & {"transformers", "sentencepiece"}):
        if importlib.util.find_spec(library) is None:
            raise ImportError(f"{folder} needs {library}: pip install 'sigmabench[pipelines]'")
    from diffusers import DiffusionPipeline

    without: dict[str, Any] = {name: None for name, entry in index.items() if entry == [None, None]}
    if "safety_checker" in index:
        without |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch_dtype", category=FutureWarning)  # its older name
            pipe = DiffusionPipeline.from_pretrained(
                folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True, **without
            )
    except (OSError, AttributeError, TypeError) as error:
        raise ValueError(f"{folder} ({index.get('_class_name')}) cannot be loaded: {error}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def placed(pipe: Any, device: str, offload: str) -> Any:
    """The pipeline on its device, or in the computer's memory from where the device gets what is at work.

    Raises:
        ValueError: for a pipeline that cannot be kept so.
    """
    if (vae := autoencoder_of(pipe)) is not None and vae.dtype != torch.float32:
        vae.to(torch.float32)
    if offload == "none":
        return pipe.to(device)
    enable = pipe.enable_model_cpu_offload if offload == "model" else pipe.enable_sequential_cpu_offload
    try:
        enable(device=device)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{type(pipe).__name__} cannot be offloaded by {offload!r}: {error}") from error
    return pipe


def _downloaded(name: str) -> Path:
    from diffusers import DiffusionPipeline
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return Path(DiffusionPipeline.download(name, use_safetensors=True))
    except GatedRepoError as error:
        raise FileNotFoundError(
            f"{name} is gated: accept its licence at https://huggingface.co/{name}, then log in with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{name} is neither a folder here nor a public model on the hub; check the name, or `hf auth login`"
        ) from error
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{name} is not a folder here and the hub did not give it ({type(error).__name__}: {str(error)[:200]}); "
            "download it where there is a network and give its folder"
        ) from error

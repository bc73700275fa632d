"""Any text-to-image pipeline of diffusers, from a folder or the hub, sampled by this package's samplers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...samplers.settings import setting, settings

if TYPE_CHECKING:
    from .pipeline_model import DiffusersModel


@settings
class Diffusers:
    """A diffusers pipeline: Stable Diffusion, SDXL, SD3, Flux, PixArt and others, through one code path.

    Its schedule and prediction type come from its scheduler's config, the conditions from watching the pipeline itself.
    von Platen et al. 2022, https://github.com/huggingface/diffusers.
    """

    path: str = setting("", help="a folder written by save_pretrained, or owner/name on the hub")
    height: int | None = setting(None, low=8, high=16384, help="of the images; default: the pipeline's own")
    width: int | None = setting(None, low=8, high=16384, help="of the images; default: the pipeline's own")
    distilled_guidance: float = setting(
        3.5, low=0.0, high=100.0, help="guidance as an input of the network (Flux, LCM); other networks ignore it"
    )

    def load(self, device: str = "cpu", dtype: str = "float32") -> DiffusersModel:
        """
        Raises:
            FileNotFoundError, ValueError, ImportError: the folder, the hub's model or a package is missing, or the
                pipeline is of a kind that cannot be replayed; naming it and the remedy.
        """
        from .pipeline_folder import load_pipeline, pipeline_folder
        from .pipeline_model import DiffusersModel
        from .precision import torch_dtype
        from .weights_hash import folder_hash

        number = torch_dtype(dtype, device)
        folder = pipeline_folder(self.path)
        name = f"{folder_name(self.path)}-{folder_hash(folder)}"
        return DiffusersModel(self, load_pipeline(folder, number, device), name)


def folder_name(path: str) -> str:
    """The last part of a path or of a hub id, in lower case."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].lower()

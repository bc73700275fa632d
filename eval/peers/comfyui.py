"""ComfyUI's samplers and schedulers, from a checkout, driven by closed-form denoisers."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...samplers import Level
from ...samplers.protocols import Denoiser

NEEDED = "set COMFYUI_DIR to a checkout of ComfyUI, in an environment that has its requirements"


class MissingPeerError(ImportError):
    """A program that is not on this machine, with how to get it."""


@functools.cache
def comfyui() -> ComfyUI:
    """The checkout that COMFYUI_DIR names."""
    folder = Path(os.environ.get("COMFYUI_DIR") or os.devnull)
    if not (folder / "comfy" / "samplers.py").is_file():
        raise MissingPeerError(f"COMFYUI_DIR is {os.environ.get('COMFYUI_DIR')!r}: {NEEDED}")
    return ComfyUI(folder)


class ComfyUI:
    """Samplers and schedulers of a checkout, with its own model_sampling around a closed-form denoiser."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        try:
            importlib.import_module("comfy.cli_args").args.cpu = True  # it looks for a GPU when imported
            self.samplers = importlib.import_module("comfy.samplers")
            self.sampling = importlib.import_module("comfy.k_diffusion.sampling")
            self.model_sampling = importlib.import_module("comfy.model_sampling")
        finally:
            sys.path.remove(str(folder))
        names: dict[str, str] = {}
        exec((folder / "comfyui_version.py").read_text(encoding="utf-8"), names)
        self.version = names["__version__"]

    def process(self, kind: str, **settings: float) -> Any:
        """Its model_sampling of Stable Diffusion ("eps") or of a rectified flow ("flow")."""
        table, space = {
            "eps": (self.model_sampling.ModelSamplingDiscrete, self.model_sampling.EPS),
            "flow": (self.model_sampling.ModelSamplingDiscreteFlow, self.model_sampling.CONST),
        }[kind]
        process = type("Process", (table, space), {})()
        if settings:
            process.set_parameters(**settings)
        return process

    def arguments(self, name: str) -> Sequence[str]:
        """Of the sampler's function."""
        return list(inspect.signature(self.samplers.sampler_object(name).sampler_function).parameters)

    def sample(
        self,
        name: str,
        denoiser: Denoiser,
        x: Tensor,
        levels: Sequence[Level],
        noise: Callable[[Any, Any], Tensor] | None = None,
        **options: Any,
    ) -> Tensor:
        """A run in float64; levels with alpha below 1 at their noisy end make it a flow model."""
        if noise is not None:
            options["noise_sampler"] = noise
        sigmas = torch.tensor([level.sigma for level in levels], dtype=torch.float64)
        return self.run(name, denoiser, x, sigmas, "flow" if levels[0].alpha < 1 else "eps", **options)

    def run(
        self, name: str, denoiser: Denoiser, x: Tensor, sigmas: Tensor, kind: str = "eps", **options: Any
    ) -> Tensor:
        """A run along their own sigmas."""
        model = _Model(self.process(kind), denoiser, kind == "flow")
        function = self.samplers.sampler_object(name).sampler_function
        return function(model, x, sigmas, extra_args={"seed": 0}, callback=None, disable=True, **options)


class _Model:
    """What a sampler of ComfyUI sees of a model: called for x0, asked for its model_sampling by two routes."""

    def __init__(self, model_sampling: Any, denoiser: Denoiser, flow: bool) -> None:
        self.model_sampling, self.denoiser, self.flow = model_sampling, denoiser, flow
        self.inner_model = types.SimpleNamespace(inner_model=self, model_patcher=self)

    def get_model_object(self, name: str) -> Any:
        return getattr(self, name)

    def __call__(self, x: Tensor, sigma: Tensor, model_options: Any = None, **_: Any) -> Tensor:
        levels = [Level(1.0 - s if self.flow else 1.0, s) for s in sigma.tolist()]
        x0 = self.denoiser(x, levels)
        for function in (model_options or {}).get("sampler_post_cfg_function", ()):
            x0 = function({"denoised": x0, "uncond_denoised": x0})
        return x0

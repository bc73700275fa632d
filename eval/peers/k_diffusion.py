"""k-diffusion's ``sample_*`` functions: variance exploding, in the dtype of x, noise from us."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from ...samplers.level import Level
from ...samplers.path import Path
from ...samplers.protocols import Denoiser, Noise
from ..orders.methods import Method
from .brownian import Brownian
from .named import Named

PACKAGES = ("k_diffusion", "torchsde", "trampoline", "torchdiffeq")
INSTALL = "not installed; pip install --no-deps k-diffusion==0.1.1.post1 torchsde==0.2.6 trampoline torchdiffeq"


FUNCTIONS = (
    Named("sample_euler", "euler", 1),
    Named("sample_heun", "heun", 2, 2),
    Named("sample_dpm_2", "dpm_2", 2, 2),
    Named("sample_lms", "lms", 4),
    Named("sample_dpmpp_2m", "dpmpp_2m", 2),
    Named("sample_dpmpp_2s_ancestral", "dpmpp_2s", 2, 2, options={"eta": 0.0}),
    Named("sample_dpmpp_3m_sde", "dpmpp_3m(start=runge_kutta)", 3, options={"eta": 0.0}),
    Named("sample_dpm_fast", "dpm_fast", 3),
    Named("sample_dpm_adaptive", "dpm_adaptive", 3, None),
    Named("sample_euler_ancestral", "euler_ancestral", 1, stochastic=True),
    Named("sample_dpm_2_ancestral", "dpm_2_ancestral", 2, 2, stochastic=True),
    Named("sample_dpmpp_2s_ancestral", "dpmpp_2s_ancestral", 2, 2, stochastic=True),
    Named("sample_dpmpp_sde", "dpmpp_sde", 2, 2, stochastic=True),
    Named("sample_dpmpp_2m_sde", "dpmpp_2m_sde", 2, stochastic=True),
    Named("sample_dpmpp_3m_sde", "dpmpp_3m_sde", 3, stochastic=True),
)

NOTES = {
    "sample_dpm_fast": "takes the ends of the path and places its own levels; steps are evaluations",
    "sample_dpm_adaptive": "one tolerance for the whole batch; rtol = atol = steps^-3",
}


def peers() -> Iterator[Method]:
    """One method for each function; a single one without ``solve`` where the package is not installed."""
    if any(importlib.util.find_spec(name) is None for name in PACKAGES):
        yield Method("k-diffusion", "k-diffusion", None, processes=("VE",), note=INSTALL, peer=True)
        return
    for function in FUNCTIONS:
        yield Method(
            f"k-diffusion {version('k-diffusion')}",
            function.title,
            _solver(function),
            function.stochastic,
            ("VE",),
            function.order,
            function.evaluations,
            function.counterpart,
            note=NOTES.get(function.name, ""),
            peer=True,
        )


@lru_cache(maxsize=1)
def sampling() -> Any:
    """Their module of samplers alone: the package itself imports data sets and CLIP, which nothing here needs."""
    spec = importlib.util.find_spec("k_diffusion")
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(spec.submodule_search_locations or ()) if spec else []
    before = sys.modules.get("k_diffusion")
    sys.modules["k_diffusion"] = package
    try:
        return importlib.import_module("k_diffusion.sampling")
    finally:
        del sys.modules["k_diffusion"]
        if before:
            sys.modules["k_diffusion"] = before


def _solver(function: Named) -> Callable[[Denoiser, Tensor, Path, Noise], Tensor]:
    def solve(denoiser: Denoiser, x: Tensor, path: Path, noise: Noise) -> Tensor:
        def model(x: Tensor, sigma: Tensor) -> Tensor:
            return denoiser(x, Level(1.0, sigma.flatten()[0].item()))

        options = {**function.options, **_where(function.name, path)}
        if function.stochastic:
            options["noise_sampler"] = Brownian(noise)
        elif "eta" in options:
            options["noise_sampler"] = lambda sigma, sigma_next: torch.zeros_like(x)
        return getattr(sampling(), function.name)(model, x, disable=True, **options)

    return solve


def _where(name: str, path: Path) -> dict[str, Any]:
    sigmas = torch.tensor([level.ve_sigma for level in path.levels], dtype=torch.float64)
    ends = {"sigma_min": sigmas[-1], "sigma_max": sigmas[0]}
    if name == "sample_dpm_fast":
        return ends | {"n": len(path)}
    if name == "sample_dpm_adaptive":
        return ends | {"rtol": len(path) ** -3.0, "atol": len(path) ** -3.0}
    return {"sigmas": sigmas}

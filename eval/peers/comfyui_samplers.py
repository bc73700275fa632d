"""ComfyUI's samplers from the checkout that COMFYUI_DIR names: on its own model_sampling, in float64, noise from us."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ...samplers.path import Path
from ...samplers.protocols import Denoiser, Noise
from ..orders.methods import Method
from .brownian import Brownian
from .comfyui import NEEDED, MissingPeerError, comfyui
from .named import Named


def identity(k: Any) -> Any:
    """No noise, to er_sde."""
    return k


def zero(sigma: Any) -> float:
    """No noise, to sa_solver."""
    return 0.0


STILL = {"eta": 0.0}
SINGLE_PRECISION = ("uni_pc", "uni_pc_bh2", "deis")
"""Their coefficients, or x itself, are float32."""

SAMPLERS = (
    Named("euler", "euler", 1),
    Named("heun", "heun", 2, 2, of_flow="runge_kutta(method=heun2, quantity=flow)"),
    Named("heunpp2", "heunpp2", 2, 3),
    Named("dpm_2", "dpm_2", 2, 2),
    Named("lms", "lms", 4, of_flow="lms(quantity=flow)"),
    Named("ipndm", "ipndm", 4),
    Named("ipndm_v", "lms", 4),
    Named("deis", "deis", 3),
    Named("dpmpp_2m", "dpmpp_2m", 2),
    Named("res_multistep", "res_2m", 2),
    Named("gradient_estimation", "gradient_estimation", 1),
    Named("uni_pc", "unipc(points=3)", 3),
    Named("uni_pc_bh2", "unipc(points=3)", 3),
    Named("exp_heun_2_x0", "res_2s", 2, 2),
    Named("dpm_fast", "dpm_fast", 3),
    Named("dpm_adaptive", "dpm_adaptive", 3, None),
    Named("dpmpp_2s_ancestral", "dpmpp_2s", 2, 2, options=STILL),
    Named("dpmpp_2s_ancestral_cfg_pp", "dpmpp_2s", 2, 2, options=STILL),
    Named("dpmpp_3m_sde", "dpmpp_3m(start=runge_kutta)", 3, options=STILL),
    Named("seeds_2", "seeds_2(eta=0)", 2, 2, options=STILL),
    Named("seeds_3", "seeds_3(eta=0)", 3, 3, options=STILL),
    Named("er_sde", "er_sde(scaler=ode)", 3, options={"noise_scaler": identity, "s_noise": 0.0}),
    Named("sa_solver", "sa_solver", 3, options={"tau_func": zero}),
    Named("euler_ancestral", "euler_ancestral", 1, stochastic=True),
    Named("ddpm", "ddpm", 1, stochastic=True),
    Named("dpm_2_ancestral", "dpm_2_ancestral", 2, 2, stochastic=True),
    Named("dpmpp_2s_ancestral", "dpmpp_2s_ancestral", 2, 2, stochastic=True),
    Named("res_multistep_ancestral", "res_multistep_ancestral", 2, stochastic=True),
    Named("dpmpp_sde", "dpmpp_sde", 2, 2, stochastic=True),
    Named("dpmpp_2m_sde", "dpmpp_2m_sde", 2, stochastic=True),
    Named("dpmpp_2m_sde_heun", "dpmpp_2m_sde(solver=heun)", 2, stochastic=True),
    Named("dpmpp_3m_sde", "dpmpp_3m_sde", 3, stochastic=True),
    Named("seeds_2", "seeds_2", 2, 2, stochastic=True),
    Named("seeds_3", "seeds_3", 3, 3, stochastic=True),
    Named("er_sde", "er_sde", 3, stochastic=True),
    Named("sa_solver", "sa_solver", 3, stochastic=True),
)

NOTES = {
    "dpm_fast": "takes the ends of the path and places its own levels; steps are evaluations",
    "dpm_adaptive": "one tolerance for the whole batch; rtol = atol = steps^-3",
}
OF_ITS_OWN = {"dpm_fast": ("VE",), "dpm_adaptive": ("VE",), "uni_pc": ("VE",), "uni_pc_bh2": ("VE",)}
"""Processes of those that know no other."""


def peers() -> Iterator[Method]:
    """One method for each sampler and process; a single one without ``solve`` where no checkout is named."""
    try:
        host = comfyui()
    except (MissingPeerError, ImportError) as error:
        reason = NEEDED if isinstance(error, MissingPeerError) else f"{error}; {NEEDED}"
        yield Method("ComfyUI", "ComfyUI", None, processes=("VE",), note=reason, peer=True)
        return
    for named in SAMPLERS:
        if named.name not in host.samplers.SAMPLER_NAMES:
            continue
        for process in OF_ITS_OWN.get(named.name, ("VE", "flow")):
            yield Method(
                f"ComfyUI {host.version}",
                named.title if process == "VE" else f"{named.title} on a flow",
                _solver(named),
                named.stochastic,
                (process,),
                named.order,
                named.evaluations,
                (named.of_flow or named.counterpart) if process == "flow" else named.counterpart,
                1e-5 if named.name in SINGLE_PRECISION else 1e-10,
                note=NOTES.get(named.name, ""),
                peer=True,
            )


def _solver(named: Named) -> Callable[[Denoiser, Tensor, Path, Noise], Tensor]:
    def solve(denoiser: Denoiser, x: Tensor, path: Path, noise: Noise) -> Tensor:
        host, options = comfyui(), dict(named.options)
        dtype = torch.float32 if named.name.startswith("uni_pc") else torch.float64
        image = x.to(dtype).view(len(x), -1, 1, 1)
        if "noise_sampler" in host.arguments(named.name):
            still = lambda sigma, sigma_next: torch.zeros_like(image)  # noqa: E731
            options["noise_sampler"] = _shaped(Brownian(noise)) if named.stochastic else still
        if named.name == "dpm_adaptive":
            options |= {"rtol": len(path) ** -3.0, "atol": len(path) ** -3.0}
        flow = path.levels[0].alpha < 1
        sigmas = torch.tensor([level.sigma for level in path.levels], dtype=dtype)
        end = host.run(named.name, _flat(denoiser), image, sigmas, "flow" if flow else "eps", **options)
        return end.double().view(x.shape)

    return solve


def _flat(denoiser: Denoiser) -> Denoiser:
    """Of images with rows and columns, as theirs are."""
    return lambda x, level: denoiser(x.flatten(1), level).view(x.shape)


def _shaped(noise: Brownian) -> Callable[[Any, Any], Tensor]:
    """Noise of images with rows and columns; none for an interval of no length, for which theirs asks too."""

    def draw(sigma: Any, sigma_next: Any) -> Tensor | float:
        if math.isclose(float(sigma), float(sigma_next), rel_tol=1e-12):
            return 0.0
        return noise(sigma, sigma_next)[..., None, None]

    return draw  # type: ignore[return-value]

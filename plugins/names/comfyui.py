"""Pairs of a sampler and a scheduler as KSampler has them: "dpmpp_2m / karras", "euler_ancestral + normal".

Either side may also be a plugin of ours with its settings, as in "dpmpp_2m_sde(eta=0.5) + karras(rho=5)".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .resolved import Resolved, resolved

_PENULTIMATE = "ComfyUI makes one more level and leaves out the next to last."
SAMPLERS = {
    "ddim": ("euler", ""),
    "uni_pc": ("unipc(points=3, variant=bh1)", f"ComfyUI ends at sigma = 0.001. {_PENULTIMATE}"),
    "uni_pc_bh2": ("unipc(points=3)", f"ComfyUI ends at sigma = 0.001. {_PENULTIMATE}"),
    "dpm_2": ("dpm_2", _PENULTIMATE),
    "dpm_2_ancestral": ("dpm_2_ancestral", _PENULTIMATE),
    "dpmpp_2m_sde_heun": ("dpmpp_2m_sde(solver=heun)", ""),
    "dpmpp_3m_sde": ("dpmpp_3m_sde", "ComfyUI has half of the right curvature; so has compat=True."),
    "ddpm": ("sample_ddpm", ""),
    "ipndm": ("ipndm(compat=True)", ""),
    "ipndm_v": ("ipndm_v", "Published coefficients of orders 3 and 4 are wrong; these are right."),
    "heunpp2": ("sample_heunpp2", ""),
    "dpm_fast": ("dpm_fast(compat=True)", ""),
    "dpm_adaptive": ("sample_dpm_adaptive", ""),
}
"""Samplers whose name there means something else here, or that differ."""

SCHEDULERS = {
    "normal": ("linspace", ""),
    "ddim_uniform": ("ddim_uniform", "ComfyUI makes one step more for some numbers of steps."),
    "beta": ("beta", "ComfyUI rounds to whole timesteps and drops those that repeat."),
    "beta57": ("beta(alpha=0.5, beta=0.7)", ""),
    "bong_tangent": ("bong_tangent", "RES4LYF starts at sigma = 1 whatever the model; this at its noisiest level."),
}
"""Schedulers whose name there is another here, or that differ."""

NAMES = (
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2", "dpm_2_ancestral",
    "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu",
    "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm", "ipndm_v", "deis", "res_multistep",
    "res_multistep_cfg_pp", "res_multistep_ancestral", "res_multistep_ancestral_cfg_pp", "gradient_estimation",
    "gradient_estimation_cfg_pp", "er_sde", "seeds_2", "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc",
    "uni_pc_bh2",
)  # fmt: skip
"""ComfyUI 0.3.64's samplers, in its order."""

SPACINGS = (
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic",
    "kl_optimal", "beta57", "bong_tangent",
)  # fmt: skip
"""Its schedulers, and RES4LYF's two."""

_GPU = "Noise depends on each image's seed alone, wherever it is made."


def comfyui(text: str) -> Resolved | None:
    """A pair with " + " or "/" between; None where there is neither.

    Raises:
        UnknownPair: for a side without counterpart.
    """
    sides = re.split(r"\s\+\s|\s*/\s*", text.strip())
    if len(sides) != 2 or not all(sides):
        return None
    sampler, *notes = _sampler(sides[0])
    spacing, difference = SCHEDULERS.get(sides[1], (sides[1], ""))
    return resolved(text, sampler, spacing, "", *notes, difference)


def pairs() -> Iterator[str]:
    """Every sampler with "normal", and "euler" with every scheduler."""
    yield from (f"{name} / normal" for name in NAMES)
    yield from (f"euler / {name}" for name in SPACINGS)


def _sampler(name: str) -> tuple[str, ...]:
    base = name.removesuffix("_gpu")
    on_gpu = _GPU if base != name else ""
    inner = base.removesuffix("_cfg_pp")
    text, note = SAMPLERS.get(inner, (inner, ""))
    return (f"cfg_pp({text})" if inner != base else text), note, on_gpu

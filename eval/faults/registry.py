"""All faults, by name."""

from __future__ import annotations

from . import (
    comfyui_noise,
    comfyui_solvers,
    comfyui_spacings,
    guidance,
    k_diffusion_samplers,
    multistep,
    noise,
    spacings,
    timesteps,
    zero_snr,
)
from .fault import Fault

THEMES = (
    timesteps,
    multistep,
    zero_snr,
    noise,
    spacings,
    guidance,
    k_diffusion_samplers,
    comfyui_solvers,
    comfyui_spacings,
    comfyui_noise,
)
FAULTS: dict[str, Fault] = {fault.name: fault for theme in THEMES for fault in theme.FAULTS}

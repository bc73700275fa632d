"""Other programs' solvers, where they are installed, in the form in which ours are measured.

Only the files of this folder know those programs.
"""

from __future__ import annotations

from ..orders.methods import Method
from . import comfyui_samplers, diffusers_schedulers, k_diffusion


def peers() -> list[Method]:
    """Every peer; a program that is not installed is one method without ``solve`` whose note says how to get it."""
    return [*k_diffusion.peers(), *diffusers_schedulers.peers(), *comfyui_samplers.peers()]

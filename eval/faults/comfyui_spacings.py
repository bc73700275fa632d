"""ComfyUI's schedulers: how many steps they give, and where they end."""

from __future__ import annotations

import functools

from ...samplers.protocols import Spacing
from ...samplers.schedules import Flow, ScaledLinear
from ...samplers.spacings import Beta, DDIMUniform, KLOptimal, Linspace
from .fault import Fault, sides
from .hosts import comfyui

COUNTS = range(10, 401, 13)


def _lengths(name: str, spacing: Spacing, theirs: bool) -> float:
    """How many of the numbers of steps asked for are not the numbers given."""
    host, wrong = comfyui() if theirs else None, 0
    process = host.process("eps") if host else None
    for steps in COUNTS:
        levels = host.samplers.calculate_sigmas(process, name, steps) if host else spacing(ScaledLinear(), steps)
        wrong += len(levels) != steps + 1
    return wrong


def _last_flow_sigma(theirs: bool) -> float:
    """The last sigma before clean, at shift 3: a model trained on 1000 times knows down to 3 / 1002 = 0.003."""
    if theirs:
        host = comfyui()
        return host.samplers.calculate_sigmas(host.process("flow", shift=3.0), "normal", 20)[-2].item()
    return Linspace()(Flow(shift=3.0), 20)[-2].sigma


def _one_step(theirs: bool) -> float:
    """Relative distance of the first sigma of one step from the noisiest trained one."""
    if theirs:
        host = comfyui()
        process = host.process("eps")
        first = host.samplers.calculate_sigmas(process, "kl_optimal", 1)[0].item()
        return abs(first / process.sigma_max.item() - 1)
    return abs(KLOptimal()(ScaledLinear(), 1)[0].ve_sigma / ScaledLinear().level(1.0).ve_sigma - 1)


LENGTHS = f"of {len(COUNTS)} numbers of steps from 10 to 400, those that give another number of steps"
FAULTS = (
    Fault(
        "comfyui-ddim-uniform",
        "ComfyUI",
        "ddim_uniform",
        "It walks the table in strides of its length // steps to the end, however many steps that makes.",
        LENGTHS,
        functools.partial(_lengths, "ddim_uniform", DDIMUniform(), False),
        functools.partial(_lengths, "ddim_uniform", DDIMUniform(), True),
        at_most=0,
        threads=("comfyanonymous/ComfyUI#12485", "comfyanonymous/ComfyUI#9247"),
    ),
    Fault(
        "comfyui-beta",
        "ComfyUI",
        "beta",
        "Times are rounded to the table's and repeated ones dropped, so many steps come out fewer.",
        LENGTHS,
        functools.partial(_lengths, "beta", Beta(), False),
        functools.partial(_lengths, "beta", Beta(), True),
        at_most=0,
        threads=("comfyanonymous/ComfyUI#7914",),
    ),
    Fault(
        "comfyui-kl-optimal-one-step",
        "ComfyUI",
        "kl_optimal, 1 step",
        "It divides by the number of steps less one.",
        "relative distance of the first sigma from the noisiest trained one",
        *sides(_one_step),
        at_most=1e-6,
        threads=("comfyanonymous/ComfyUI#14904",),
    ),
    Fault(
        "comfyui-flow-normal",
        "ComfyUI",
        "normal and sgm_uniform, shifted flow",
        "The last time is shifted, taken for one that is not, and shifted again.",
        "last sigma before clean, shift 3",
        *sides(_last_flow_sigma),
        at_most=0.0031,
    ),
)

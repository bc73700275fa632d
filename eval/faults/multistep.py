"""diffusers: weights of past predictions."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers import Level
from ...samplers.level import CLEAN, PURE_NOISE
from .diffusers_schedulers import follow, levels_of, scheduler, untouched, velocity
from .exact import error, order, ours
from .fault import Fault, sides
from .parabola import HALF, PARABOLA, STEPS, ours_on, parabola, solution


def _diffusers(algorithm: str) -> float:
    """One step of theirs from a given history, in variance exploding coordinates x / alpha."""
    made = scheduler("DPMSolverMultistepScheduler", 10, solver_order=3, algorithm_type=algorithm)
    made.sigmas = torch.tensor([math.exp(-v) for v in STEPS], dtype=torch.float64)
    made._step_index = 2
    start, end = (1 / math.hypot(1, math.exp(-v)) for v in STEPS[-2:])
    x = torch.tensor([0.5, -1.0], dtype=torch.float64)
    known = [torch.full_like(x, parabola(v)) for v in STEPS[:-1]]
    after = made.multistep_dpm_solver_third_order_update(known, sample=x * start, noise=x * 0) / end
    return (after - solution(x, 1.0 if algorithm.startswith("sde") else 0.0)).abs().max().item()


def _ipndm(theirs: bool) -> float:
    """On their own levels."""

    def at(steps: int) -> float:
        made = untouched("IPNDMScheduler", steps)
        pairs = zip(made.alphas.tolist(), made.betas.tolist(), strict=True)
        levels = [PURE_NOISE, *(Level(alpha, sigma) for alpha, sigma in list(pairs)[1:-1]), CLEAN]

        def run(x: Tensor, levels: Sequence[Level]) -> Tensor:
            for t, level in zip(made.timesteps, levels, strict=False):
                x = made.step(velocity(x, level), t, x).prev_sample
            return x

        return error(
            run if theirs else ours("ipndm(compat=True)"),
            levels,
        )

    return order(at)


def _pndm(theirs: bool, steps: int, **options: Any) -> float:
    made = scheduler("PNDMScheduler", steps, skip_prk_steps=True, **options)
    return error((lambda x, levels: follow(made, x)) if theirs else ours("lms"), levels_of(made))


FAULTS = (
    Fault(
        "dpmpp-3m",
        "diffusers",
        "DPMSolverMultistepScheduler, solver_order=3",
        HALF,
        PARABOLA,
        functools.partial(ours_on, build("sampler", "dpmpp_3m")),
        functools.partial(_diffusers, "dpmsolver++"),
        at_most=1e-6,
        threads=("huggingface/diffusers#9104", "huggingface/diffusers#13778"),
    ),
    Fault(
        "dpmpp-3m-sde",
        "diffusers",
        "DPMSolverMultistepScheduler, solver_order=3, algorithm_type='sde-dpmsolver++'",
        "The weight of the second difference has - 1/2 where + 1/2 belongs, and half the size.",
        PARABOLA,
        functools.partial(ours_on, build("sampler", "dpmpp_3m_sde"), 1.0),
        functools.partial(_diffusers, "sde-dpmsolver++"),
        at_most=1e-6,
        threads=("huggingface/diffusers#9104",),
    ),
    Fault(
        "ipndm",
        "diffusers",
        "IPNDMScheduler",
        "The first step, from pure noise, divides by alpha = 1e-8 and so takes x0 for 0.",
        "order of convergence from 70 to 310 steps",
        *sides(_ipndm),
        at_least=1.8,
    ),
    Fault(
        "pndm-linspace",
        "diffusers",
        "PNDMScheduler, timestep_spacing='linspace'",
        "Each step goes to t - 1000 // steps, not to the next timestep of the schedule.",
        "error after 310 steps",
        *sides(_pndm, 310, timestep_spacing="linspace"),
        at_most=2e-3,
        threads=("huggingface/diffusers#12633",),
    ),
    Fault(
        "pndm-v",
        "diffusers",
        "PNDMScheduler, prediction_type='v_prediction'",
        "It combines v of different levels, each of which is another combination of x0 and noise.",
        "error after 50 steps",
        *sides(_pndm, 50, timestep_spacing="leading", prediction_type="v_prediction"),
        at_most=5e-3,
        threads=("huggingface/diffusers#14816",),
    ),
)

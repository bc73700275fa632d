"""ComfyUI's solvers of the ODE: the order with which they converge, and where they end."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers import Level
from ...samplers.conformance.convergence import jagged_path
from ...samplers.level import CLEAN
from ...samplers.problems import BIMODAL
from ...samplers.run import sample
from .exact import error, order, ours
from .fault import Fault, sides
from .hosts import comfyui

STEPS = (20, 40, 80, 160, 320)
ORDER = "order of convergence from 20 to 320 steps"


def levels(steps: int) -> Sequence[Level]:
    return jagged_path("VE", steps).levels


def _theirs(name: str, **options: Any) -> float:
    def run(x: Tensor, levels: Sequence[Level]) -> Tensor:
        return comfyui().sample(name, BIMODAL, x, levels, **options)

    return order(lambda steps: error(run, levels(steps)), STEPS)


def _ours(plugin: str) -> float:
    return order(lambda steps: error(ours(plugin), levels(steps)), STEPS)


def _of_order(
    name: str,
    plugin: str,
    least: float,
    wrong: str,
    options: dict[str, Any] | None = None,
    threads: tuple[str, ...] = (),
    raises: str = "",
) -> Fault:
    return Fault(
        "comfyui-" + name.replace("_", "-"),
        "ComfyUI",
        name,
        wrong,
        ORDER,
        functools.partial(_ours, plugin),
        functools.partial(_theirs, name, **(options or {})),
        at_least=least,
        raises=raises,
        threads=threads,
    )


def _last_sigma(theirs: bool) -> float:
    """Of the schedule that a caller gave, once a run is over."""
    sigmas = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.0])
    x = torch.ones(1, 1, 4, 4) * 3
    if theirs:
        comfyui().run("uni_pc", BIMODAL, x, sigmas)
        return sigmas[-1].item()
    path = [*(Level(1.0, sigma) for sigma in sigmas[:-1].tolist()), CLEAN]
    sample(build("sampler", "unipc"), BIMODAL, x, path)
    return path[-1].sigma


def _float64(theirs: bool) -> float:
    def run(x: Tensor, levels: Sequence[Level]) -> Tensor:
        return comfyui().sample("uni_pc", BIMODAL, x, levels)

    return error(run if theirs else ours("unipc"), levels(80))


FAULTS = (
    _of_order(
        "ipndm",
        "ipndm",
        1.8,
        "Its coefficients are those of equal steps of sigma, which no schedule has.",
    ),
    _of_order(
        "ipndm_v",
        "lms",
        1.8,
        "The coefficients through three points have a misplaced term, those through four a wrong ratio of steps.",
        threads=("leejet/stable-diffusion.cpp#344",),
    ),
    _of_order(
        "heunpp2",
        "heun",
        1.8,
        "The weights of its slopes depend on the first sigma of the run: first order for three evaluations a step.",
    ),
    _of_order(
        "deis",
        "lms(points=3)",
        1.8,
        "deis_mode='rhoab' makes coefficients for more points than the step takes.",
        {"deis_mode": "rhoab"},
        raises="ValueError",
    ),
    _of_order(
        "er_sde",
        "er_sde(scaler='ode', s_noise=0.0)",
        1.9,
        "Its integrals are left sums of 200 terms, whose error of first order takes over.",
        {"noise_scaler": lambda x: x, "s_noise": 0.0},
    ),
    _of_order(
        "dpmpp_2s_ancestral_cfg_pp",
        "dpmpp_2s_ancestral(eta=0.0)",
        1.8,
        "The unconditional x0 of the second stage is subtracted from the guided one of the first.",
        {"eta": 0.0},
        threads=("comfyanonymous/ComfyUI#14814",),
    ),
    Fault(
        "comfyui-uni-pc-end",
        "ComfyUI",
        "uni_pc",
        "It writes 0.001 into the caller's schedule in place of the last sigma, 0, and ends there.",
        "last sigma of the caller's schedule after the run",
        *sides(_last_sigma),
        at_most=0,
        threads=("comfyanonymous/ComfyUI#3323",),
    ),
    Fault(
        "comfyui-uni-pc-float64",
        "ComfyUI",
        "uni_pc, float64",
        "It multiplies coefficients in float32 with the state.",
        "error after 80 steps",
        *sides(_float64),
        at_most=1e-3,
        raises="RuntimeError",
    ),
)

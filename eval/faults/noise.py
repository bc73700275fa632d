"""diffusers and k-diffusion: whose noise an image gets, and how it is added."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers import Level
from ...samplers.conformance.convergence import output_moments
from ...samplers.noise import SeededNoise
from ...samplers.path import Path
from ...samplers.problems import BIMODAL, GAUSSIAN
from ...samplers.protocols import Sampler
from ...samplers.run import sample
from .diffusers_schedulers import noise_in, scheduler, seeded, untouched
from .fault import Fault, sides
from .hosts import k_diffusion

SIGMAS = (5.0, 3.0, 2.0, 1.0, 0.5)
SHAPE = (4, 3, 3)
ALONE = "largest change of image 0 when another one is in the batch"
BATCH = "All images of a batch draw from one stream, so each depends on how many there are."


def _change(run: Callable[[Tensor], Tensor]) -> float:
    """What a second image in the batch does to the first."""
    both = SeededNoise((1, 2), SHAPE, dtype=torch.float64).initial() * SIGMAS[0]
    return (run(both)[0] - run(both[:1])[0]).abs().max().item()


def _ours(sampler: Sampler) -> float:
    def run(x: Tensor) -> Tensor:
        noise = SeededNoise(range(1, len(x) + 1), SHAPE, dtype=torch.float64)
        return sample(sampler, BIMODAL, x, [Level(1.0, sigma) for sigma in SIGMAS], noise)

    return _change(run)


def _k_diffusions() -> float:
    def run(x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return k_diffusion().sample_euler_ancestral(
            lambda x, sigma: BIMODAL(x, [Level(1.0, value) for value in sigma.tolist()]),
            x,
            torch.tensor(SIGMAS, dtype=torch.float64),
            disable=True,
        )

    with torch.random.fork_rng():
        return _change(run)


def _brownian() -> float:
    def run(x: Tensor) -> Tensor:
        made = scheduler("DPMSolverSDEScheduler", 4, noise_sampler_seed=0)
        for t in made.timesteps:
            i = made.step_index or 0
            at = Level(1.0, made.sigmas[i].item() if i % 2 == 0 else made.mid_point_sigma.item())
            x = made.step(noise_in(x, at), t, x).prev_sample
        return x

    return _change(run)


def _flow_churn(theirs: bool) -> float:
    """Share by which the deviation of the images is off 0.5."""
    if not theirs:
        levels = [Level(1 - i / 40, i / 40) for i in range(40, -1, -1)]
        return abs(output_moments(build("sampler", "churn(heun, s_churn=4.0)"), Path(levels))[1] / 0.5 - 1)
    made, generator = untouched("FlowMatchHeunDiscreteScheduler", 40), seeded(0)
    x = torch.randn(20_000, generator=generator, dtype=torch.float64)
    for t in made.timesteps:
        sigma = t.item() / 1000
        x0 = GAUSSIAN(x, Level(1 - sigma, sigma))
        x = made.step((x - x0) / sigma, t, x, s_churn=4.0, generator=generator).prev_sample
    return abs(x.std().item() / 0.5 - 1)


FAULTS = (
    Fault(
        "k-batch",
        "k-diffusion",
        "default noise of sample_*_ancestral",
        BATCH,
        ALONE,
        functools.partial(_ours, build("sampler", "euler_ancestral")),
        _k_diffusions,
        at_most=0,
    ),
    Fault(
        "dpm-solver-sde-batch",
        "diffusers",
        "DPMSolverSDEScheduler",
        BATCH + " Its step takes no generators.",
        ALONE,
        functools.partial(_ours, build("sampler", "dpmpp_sde")),
        _brownian,
        at_most=0,
        threads=("huggingface/diffusers#6222", "huggingface/diffusers#612"),
    ),
    Fault(
        "flow-heun-churn",
        "diffusers",
        "FlowMatchHeunDiscreteScheduler, s_churn=4",
        "The noise of a variance exploding process is added to a flow without scaling x.",
        "relative error of the deviation of the images, 40 steps",
        *sides(_flow_churn),
        at_most=0.04,
        threads=(),
    ),
)

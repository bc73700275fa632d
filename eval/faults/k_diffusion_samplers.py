"""k-diffusion: its solvers, one step or the whole."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers import Level
from ...samplers.conformance.convergence import jagged_path
from ...samplers.level import CLEAN
from ...samplers.noise import SeededNoise
from ...samplers.problems import BIMODAL
from ...samplers.run import sample
from .exact import error, order, ours
from .fault import Fault, sides
from .hosts import k_diffusion
from .parabola import HALF, PARABOLA, distance, ours_on, parabola


def _k_diffusions() -> float:
    def run(sigmas: Sequence[float]) -> Tensor:
        x = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
        return k_diffusion().sample_dpmpp_3m_sde(
            lambda x, sigma: x * 0 + parabola(-math.log(sigma[0].item())),
            x,
            torch.tensor(sigmas, dtype=torch.float64),
            disable=True,
            eta=0.0,
            noise_sampler=lambda s, t: x * 0,
        )

    return distance(run)


def _one_step(theirs: bool) -> float:
    """Distance of the end of a single step to clean from the network's answer."""
    x, levels = torch.linspace(-2, 2, 9, dtype=torch.float64).view(1, 9), [Level(1.0, 3.0), CLEAN]
    answer = BIMODAL(x, levels[0])
    if theirs:
        sigmas = torch.tensor([3.0, 0.0], dtype=torch.float64)
        end = k_diffusion().sample_dpmpp_2m_sde(
            lambda x, sigma: answer, x, sigmas, disable=True, noise_sampler=lambda s, t: x
        )
    else:
        end = sample(build("sampler", "dpmpp_2m_sde"), BIMODAL, x, levels)
    return (end - answer).abs().max().item()


def _loud(theirs: bool) -> float:
    """Deviation of the noise that eta = 2 leaves around the network's answer, relative to sigma_t = 2."""
    x = torch.randn(1, 10_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    z = torch.randn(1, 10_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if theirs:
        end = k_diffusion().sample_dpm_2_ancestral(
            lambda x, sigma: BIMODAL(x, [Level(1.0, s) for s in sigma.tolist()]),
            x,
            torch.tensor([3.0, 2.0], dtype=torch.float64),
            disable=True,
            eta=2.0,
            noise_sampler=lambda s, t: z,
        )
    else:
        end = sample(
            build("sampler", "dpm_2_ancestral(eta=2.0)"), BIMODAL, x, [Level(1.0, 3.0), Level(1.0, 2.0)], lambda s, t: z
        )
    return (end - BIMODAL(x, Level(1.0, 3.0))).std().item() / 2


def _fast(theirs: bool) -> float:
    """On paths of 3 n steps, and so of 3 n evaluations."""

    def run(x: Tensor, levels: Sequence[Level]) -> Tensor:
        ends = {"sigma_min": levels[-1].sigma, "sigma_max": levels[0].sigma}
        return k_diffusion().sample_dpm_fast(_told, x, n=len(levels) - 1, disable=True, **ends)

    def at(steps: int) -> float:
        return error(run if theirs else ours("dpm_fast"), jagged_path("VE", steps).levels)

    return order(at, (21, 42, 84, 168))


def _adaptive(theirs: bool) -> float:
    """What a second image in the batch does to the first."""
    both = SeededNoise((1, 2), (4, 3, 3), dtype=torch.float64).initial() * 5
    both[1] *= 3  # further out, where steps are shorter
    if theirs:
        alone, beside = (
            k_diffusion().sample_dpm_adaptive(_told, x, sigma_min=0.1, sigma_max=5.0, disable=True)
            for x in (both[:1], both)
        )
    else:
        sampler, path = build("sampler", "dpm_adaptive"), [Level(1.0, 5.0), Level(1.0, 0.1)]
        alone, beside = (sample(sampler, BIMODAL, x, path) for x in (both[:1], both))
    return (beside[0] - alone[0]).abs().max().item()


def _told(x: Tensor, sigma: Tensor) -> Tensor:
    """The model as k-diffusion calls it."""
    return BIMODAL(x, [Level(1.0, value) for value in sigma.tolist()])


FAULTS = (
    Fault(
        "k-dpmpp-3m-sde",
        "k-diffusion",
        "sample_dpmpp_3m_sde",
        HALF,
        PARABOLA,
        functools.partial(ours_on, build("sampler", "dpmpp_3m_sde(eta=0.0)")),
        _k_diffusions,
        at_most=1e-6,
    ),
    Fault(
        "k-dpmpp-2m-sde-one-step",
        "k-diffusion",
        "sample_dpmpp_2m_sde",
        "A run of one step to clean reads a step size that is not yet set.",
        "distance of the image from the prediction",
        *sides(_one_step),
        at_most=1e-12,
        raises="UnboundLocalError",
    ),
    Fault(
        "k-dpm-2-ancestral-loud",
        "k-diffusion",
        "sample_dpm_2_ancestral, eta=2",
        "The branch that steps down to clean forgets to add the noise back.",
        "deviation of the noise in units of sigma",
        *sides(_loud),
        at_least=0.95,
    ),
    Fault(
        "k-dpm-fast",
        "k-diffusion",
        "sample_dpm_fast",
        "It ends with a step of order 1 or 2, and takes no schedule, only its ends.",
        "order of convergence from 21 to 168 steps",
        *sides(_fast),
        at_least=2.7,
    ),
    Fault(
        "k-dpm-adaptive-batch",
        "k-diffusion",
        "sample_dpm_adaptive",
        "The error that sets the step is that of the whole batch, so each image depends on the others.",
        "largest change of image 0 when another one is in the batch",
        *sides(_adaptive),
        at_most=0,
    ),
)

"""diffusers and k-diffusion: weights of past predictions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...plugins.registry import build
from ...samplers import Level
from ...samplers.conformance.convergence import jagged_path
from ...samplers.level import CLEAN, PURE_NOISE
from ...samplers.noise import SeededNoise
from ...samplers.problems import BIMODAL
from ...samplers.reverse_sde import moments
from ...samplers.run import sample
from .diffusers_schedulers import follow, levels_of, scheduler, untouched, velocity
from .exact import error, order, ours
from .fault import Fault
from .hosts import k_diffusion

LONG = 0.7
STEPS = (0.0, 1e-4, 2e-4, LONG)
"""In log(alpha/sigma): the history is complete when the only long step begins, and holds a parabola."""
PARABOLA = "distance from the solution for x0 a parabola in log-SNR"


def _parabola(half_logsnr: float) -> float:
    return half_logsnr**2


def _solution(x: Tensor, eta: float, alpha: float = 1.0) -> Tensor:
    """Of the last step, from x at its start: e^(-eta h) sigma_t/sigma_s x + alpha_t integral of the parabola."""
    start, h = STEPS[-2], STEPS[-1] - STEPS[-2]
    whole, linear, square = moments((1 + eta) * h, 3)
    drift = _parabola(start) * whole + 2 * start * h * linear + h * h * square
    return x * math.exp(-(1 + eta) * h) + drift


def _off(run: Callable[[Sequence[float]], Tensor], eta: float = 0.0) -> float:
    """Distance of a run's last step from its solution; the run before it gives the start."""
    ends = [run([math.exp(-v) for v in STEPS[:count]]) for count in (3, 4)]
    return (ends[1] - _solution(ends[0], eta)).abs().max().item()


def _ours(sampler: Any, eta: float = 0.0) -> float:
    def run(sigmas: Sequence[float]) -> Tensor:
        x = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
        levels = [Level(1.0, sigma) for sigma in sigmas]
        return sample(
            sampler,
            lambda x, level: torch.full_like(x, _parabola(level.half_logsnr)),
            x,
            levels,
            lambda s, t: torch.zeros_like(x),
        )

    return _off(run, eta)


def _k_diffusions() -> float:
    def run(sigmas: Sequence[float]) -> Tensor:
        x = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
        return k_diffusion().sample_dpmpp_3m_sde(
            lambda x, sigma: x * 0 + _parabola(-math.log(sigma[0].item())),
            x,
            torch.tensor(sigmas, dtype=torch.float64),
            disable=True,
            eta=0.0,
            noise_sampler=lambda s, t: x * 0,
        )

    return _off(run)


def _diffusers(algorithm: str) -> float:
    """One step of theirs from a given history, in variance exploding coordinates x / alpha."""
    made = scheduler("DPMSolverMultistepScheduler", 10, solver_order=3, algorithm_type=algorithm)
    made.sigmas = torch.tensor([math.exp(-v) for v in STEPS], dtype=torch.float64)
    made._step_index = 2
    start, end = (1 / math.hypot(1, math.exp(-v)) for v in STEPS[-2:])
    x = torch.tensor([0.5, -1.0], dtype=torch.float64)
    known = [torch.full_like(x, _parabola(v)) for v in STEPS[:-1]]
    after = made.multistep_dpm_solver_third_order_update(known, sample=x * start, noise=x * 0) / end
    return (after - _solution(x, 1.0 if algorithm.startswith("sde") else 0.0)).abs().max().item()


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


HALF = "The second divided difference stands where twice as much, the second derivative, belongs."
FAULTS = (
    Fault(
        "dpmpp-3m",
        "diffusers",
        "DPMSolverMultistepScheduler, solver_order=3",
        HALF,
        PARABOLA,
        functools.partial(_ours, build("sampler", "dpmpp_3m")),
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
        functools.partial(_ours, build("sampler", "dpmpp_3m_sde"), 1.0),
        functools.partial(_diffusers, "sde-dpmsolver++"),
        at_most=1e-6,
        threads=("huggingface/diffusers#9104",),
    ),
    Fault(
        "k-dpmpp-3m-sde",
        "k-diffusion",
        "sample_dpmpp_3m_sde",
        HALF,
        PARABOLA,
        functools.partial(_ours, build("sampler", "dpmpp_3m_sde(eta=0.0)")),
        _k_diffusions,
        at_most=1e-6,
    ),
    Fault(
        "k-dpmpp-2m-sde-one-step",
        "k-diffusion",
        "sample_dpmpp_2m_sde",
        "A run of one step to clean reads a step size that is not yet set.",
        "distance of the image from the prediction",
        functools.partial(_one_step, False),
        functools.partial(_one_step, True),
        at_most=1e-12,
        raises="UnboundLocalError",
    ),
    Fault(
        "k-dpm-2-ancestral-loud",
        "k-diffusion",
        "sample_dpm_2_ancestral, eta=2",
        "The branch that steps down to clean forgets to add the noise back.",
        "deviation of the noise in units of sigma",
        functools.partial(_loud, False),
        functools.partial(_loud, True),
        at_least=0.95,
    ),
    Fault(
        "k-dpm-fast",
        "k-diffusion",
        "sample_dpm_fast",
        "It ends with a step of order 1 or 2, and takes no schedule, only its ends.",
        "order of convergence from 21 to 168 steps",
        functools.partial(_fast, False),
        functools.partial(_fast, True),
        at_least=2.7,
    ),
    Fault(
        "k-dpm-adaptive-batch",
        "k-diffusion",
        "sample_dpm_adaptive",
        "The error that sets the step is that of the whole batch, so each image depends on the others.",
        "largest change of image 0 when another one is in the batch",
        functools.partial(_adaptive, False),
        functools.partial(_adaptive, True),
        at_most=0,
    ),
    Fault(
        "ipndm",
        "diffusers",
        "IPNDMScheduler",
        "The first step, from pure noise, divides by alpha = 1e-8 and so takes x0 for 0.",
        "order of convergence from 70 to 310 steps",
        functools.partial(_ipndm, False),
        functools.partial(_ipndm, True),
        at_least=1.8,
    ),
    Fault(
        "pndm-linspace",
        "diffusers",
        "PNDMScheduler, timestep_spacing='linspace'",
        "Each step goes to t - 1000 // steps, not to the next timestep of the schedule.",
        "error after 310 steps",
        functools.partial(_pndm, False, 310, timestep_spacing="linspace"),
        functools.partial(_pndm, True, 310, timestep_spacing="linspace"),
        at_most=2e-3,
        threads=("huggingface/diffusers#12633",),
    ),
    Fault(
        "pndm-v",
        "diffusers",
        "PNDMScheduler, prediction_type='v_prediction'",
        "It combines v of different levels, each of which is another combination of x0 and noise.",
        "error after 50 steps",
        functools.partial(_pndm, False, 50, timestep_spacing="leading", prediction_type="v_prediction"),
        functools.partial(_pndm, True, 50, timestep_spacing="leading", prediction_type="v_prediction"),
        at_most=5e-3,
        threads=("huggingface/diffusers#14816",),
    ),
)

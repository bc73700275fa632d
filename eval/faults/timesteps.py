"""diffusers: the level that a step leads to, from the first one to the last."""

from __future__ import annotations

import functools

import torch

from ...plugins.registry import build
from ...samplers import Level
from ...samplers.level import CLEAN
from ...samplers.problems import BIMODAL, GAUSSIAN
from ...samplers.run import sample
from ...samplers.schedules import ScaledLinear
from ...samplers.spacings import Exponential
from .diffusers_schedulers import follow, level_at, levels_of, noise_in, scheduler, seeded
from .exact import error, order, ours
from .fault import Fault, sides

THREADS = ("huggingface/diffusers#12633", "huggingface/diffusers#11347", "huggingface/diffusers#9261")
ORDER = "order of convergence from 70 to 310 steps"
X = torch.linspace(-1, 1, 100, dtype=torch.float64).view(1, 4, 5, 5)


def fault_of_steps(name: str, spacing: str) -> Fault:
    """Theirs, and ours on the levels of their timesteps."""

    def theirs(steps: int) -> float:
        made = scheduler(name, steps, timestep_spacing=spacing, prediction_type="v_prediction")
        return error(lambda x, levels: follow(made, x), levels_of(made))

    def mine(steps: int) -> float:
        made = scheduler(name, steps, timestep_spacing=spacing, prediction_type="v_prediction")
        return error(ours("ddim"), levels_of(made))

    return Fault(
        f"{name.removesuffix('Scheduler').lower()}-{spacing}",
        "diffusers",
        f"{name}, timestep_spacing={spacing!r}",
        "Each step goes to t - 1000 // steps, not to the next timestep of the schedule.",
        ORDER,
        functools.partial(order, mine),
        functools.partial(order, theirs),
        at_least=0.85,
        threads=THREADS,
    )


def _noise_left(large: bool) -> float:
    made = scheduler("DDPMScheduler", 20, variance_type="fixed_large", timestep_spacing="trailing")
    *_, last, clean = levels_of(made)
    if large:
        end = made.step(noise_in(X, last, GAUSSIAN), made.timesteps[-1], X, generator=seeded(0)).prev_sample
    else:
        ddpm = build("sampler", "ddpm(variance='large')")
        end = sample(ddpm, GAUSSIAN, X, [last, clean], lambda s, t: torch.ones_like(X))
    return (end - GAUSSIAN(X, last)).std().item()


def _black(theirs: bool) -> float:
    """What is left of the noise when the network is sure of black."""
    x = torch.randn(1000, generator=seeded(0), dtype=torch.float64)
    if not theirs:
        end = sample(
            build("sampler", "tcd"), lambda x, level: x * 0, x, [ScaledLinear().level(1.0), CLEAN], lambda s, t: x
        )
    else:
        made = scheduler("TCDScheduler", 1, prediction_type="sample")
        end = made.step(x * 0, made.timesteps[0], x, eta=0.3).prev_sample
    return end.std().item()


def _deis_end(theirs: bool) -> float:
    """Distance of the end from what the network answered last."""
    made = scheduler("DEISMultistepScheduler", 20, timestep_spacing="trailing")
    levels = [level_at(made, t) for t in made.timesteps.tolist()]
    x = torch.randn(1000, generator=seeded(0), dtype=torch.float64)
    if theirs:
        answers = []
        for t, level in zip(made.timesteps, levels, strict=True):
            answers.append(BIMODAL(x, level))
            x = made.step(noise_in(x, level), t, x).prev_sample
        return (x - answers[-1]).square().mean().sqrt().item()
    answers = []

    def watched(x: torch.Tensor, level: object) -> torch.Tensor:
        answers.append(BIMODAL(x, level))  # type: ignore[arg-type]
        return answers[-1]

    return (sample(build("sampler", "deis"), watched, x, [*levels, CLEAN]) - answers[-1]).square().mean().sqrt().item()


def _log_linear(theirs: bool) -> float:
    def at(steps: int) -> float:
        made = scheduler("EulerDiscreteScheduler", steps, interpolation_type="log_linear")
        first = Level(1.0, made.sigmas[0].item())
        inside = Exponential(sigma_max=first.sigma)(ScaledLinear(), steps)[1:-1]
        levels = [first, *(Level(1.0, level.ve_sigma) for level in inside), CLEAN]

        def run(x: torch.Tensor, levels: object) -> torch.Tensor:
            for t in made.timesteps:
                seen = made.scale_model_input(x, t)
                told = ScaledLinear().level((t.item() + 1) / 1000)
                x = made.step(noise_in(seen, told), t, x).prev_sample
            return x

        return error(run if theirs else ours("euler"), levels)

    return order(at)


FAULTS = (
    fault_of_steps("DDIMScheduler", "trailing"),
    fault_of_steps("DDIMScheduler", "linspace"),
    fault_of_steps("DDIMParallelScheduler", "trailing"),
    Fault(
        "euler-log-linear",
        "diffusers",
        "EulerDiscreteScheduler, interpolation_type='log_linear'",
        "It makes steps + 2 sigmas, none where its timestep is.",
        ORDER,
        *sides(_log_linear),
        at_least=0.85,
    ),
    Fault(
        "ddpm-last-step",
        "diffusers",
        "DDPMScheduler, variance_type='fixed_large'",
        "Noise is added unless the timestep is 0, so with trailing timesteps to the clean image too.",
        "deviation of the noise on the image",
        *sides(_noise_left),
        at_most=1e-6,
    ),
    Fault(
        "tcd-last-step",
        "diffusers",
        "TCDScheduler",
        "The last step ends at the first timestep, where alpha is not 1, not at the clean image.",
        "deviation of what should be a black image",
        *sides(_black),
        at_most=1e-6,
    ),
    Fault(
        "deis-last-step",
        "diffusers",
        "DEISMultistepScheduler",
        "The last sigma is repeated in place of 0: the last evaluation leads nowhere and noise is left.",
        "distance from the last prediction",
        *sides(_deis_end),
        at_most=1e-3,
    ),
)

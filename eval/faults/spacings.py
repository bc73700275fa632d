"""diffusers: where the levels of a spacing lie."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ...samplers.protocols import NoiseSchedule, Spacing
from ...samplers.schedules import Cosine, Flow, ScaledLinear
from ...samplers.spacings import Beta, Karras, Linspace
from .diffusers_schedulers import scheduler, untouched
from .fault import Fault, sides

SD = ScaledLinear()


def _ours(spacing: Spacing, steps: int, schedule: NoiseSchedule = SD) -> list[float]:
    return [level.ve_sigma for level in spacing(schedule, steps)]


def _cleanest(theirs: bool) -> float:
    made = scheduler("EulerDiscreteScheduler", 10, timestep_spacing="trailing", use_karras_sigmas=True)
    return made.sigmas[-2].item() if theirs else _ours(Karras(), 10)[-2]


def _one_step(theirs: bool) -> float:
    if theirs:
        return scheduler("EulerDiscreteScheduler", 1, timestep_spacing="linspace").sigmas[0].item()
    return _ours(Linspace(), 1)[0]


def _middle(theirs: bool) -> float:
    if theirs:
        return scheduler("DPMSolverMultistepScheduler", 20, use_beta_sigmas=True).sigmas[10].item()
    return _ours(Beta(), 20)[10]


def _repeated(times: Sequence[float]) -> float:
    return len(times) - len(set(times))


def _repeats(theirs: bool, schedule: NoiseSchedule, steps: int, **options: str) -> float:
    if theirs:
        made = scheduler("DPMSolverMultistepScheduler", steps, use_karras_sigmas=True, **options)
        return _repeated(made.timesteps.tolist())
    return _repeated([schedule.time(level) for level in Karras()(schedule, steps)])


def _flow_end(theirs: bool) -> float:
    if not theirs:
        return Linspace()(Flow(shift=3.0), 20)[-2].sigma
    return untouched("FlowMatchEulerDiscreteScheduler", 20, shift=3.0).sigmas[-2].item()


FAULTS = (
    Fault(
        "karras-range",
        "diffusers",
        "Euler, Heun and LMS, use_karras_sigmas",
        "The ends of the sigmas are taken from timesteps that are spaced already, not from the trained ones.",
        "last sigma before clean, 10 trailing steps; the cleanest trained one is 0.0292",
        *sides(_cleanest),
        at_most=0.0293,
        threads=("huggingface/diffusers#9531", "huggingface/diffusers#7214"),
    ),
    Fault(
        "linspace-one-step",
        "diffusers",
        "EulerDiscreteScheduler, timestep_spacing='linspace'",
        "The timestep of a single step is 0, the cleanest.",
        "first sigma; the noisiest trained one is 14.6",
        *sides(_one_step),
        at_least=14.6,
    ),
    Fault(
        "beta-quantiles",
        "diffusers",
        "use_beta_sigmas",
        "The quantiles of the beta distribution are taken of sigma, in the paper (arXiv:2407.12173) of time.",
        "sigma in the middle of 20 steps; 1.62 by the paper",
        *sides(_middle),
        at_most=1.7,
        threads=("huggingface/diffusers#9509", "huggingface/diffusers#10001"),
    ),
    Fault(
        "karras-repeats",
        "diffusers",
        "DPM-Solver, UniPC and DEIS, use_karras_sigmas",
        "The times of the sigmas are rounded to whole timesteps, which then repeat.",
        "repeated times among 200 steps",
        *sides(_repeats, SD, 200),
        at_most=0,
        threads=("huggingface/diffusers#12771", "huggingface/diffusers#10738"),
    ),
    Fault(
        "karras-cosine",
        "diffusers",
        "DPMSolverMultistepScheduler, squaredcos_cap_v2, use_karras_sigmas",
        "Four levels from 20291 to 7000 are all called timestep 998, and so on.",
        "repeated times among 20 steps",
        functools.partial(_repeats, False, Cosine(), 20),
        functools.partial(_repeats, True, Cosine(), 20, beta_schedule="squaredcos_cap_v2"),
        at_most=0,
    ),
    Fault(
        "flow-shift-twice",
        "diffusers",
        "FlowMatchEulerDiscreteScheduler, shift=3",
        "The last time is shifted, taken for one that is not, and shifted again.",
        "last sigma before clean; the cleanest trained one is 0.003",
        *sides(_flow_end),
        at_most=0.0031,
        threads=("huggingface/diffusers#13243", "huggingface/diffusers#13246", "huggingface/diffusers#13706"),
    ),
)

"""diffusers at zero terminal SNR: the first step, from alpha = 0."""

from __future__ import annotations

import torch

from ...plugins.prediction import coefficients
from ...plugins.registry import build
from ...samplers.level import PURE_NOISE
from ...samplers.problems import GAUSSIAN
from ...samplers.run import sample
from ...samplers.schedules import ScaledLinear, ZeroTerminalSNR
from ...samplers.spacings import Karras, Trailing
from .diffusers_schedulers import SD, levels_of, scheduler, seeded, untouched, velocity, vp_sigmas
from .exact import error, ours
from .fault import Fault, sides

ZERO = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
X = torch.linspace(-2, 2, 10).view(1, 1, 2, 5)
WITH_GENERATOR = ("DDPMScheduler", "LCMScheduler", "TCDScheduler")


def _nan_at_eta_1(theirs: bool) -> float:
    failed = 0
    for steps in range(5, 101, 5):
        made = untouched("DDIMScheduler", steps, **SD, **ZERO, prediction_type="v_prediction", clip_sample=False)
        if theirs:
            v = velocity(X, PURE_NOISE, GAUSSIAN)
            end = made.step(v, made.timesteps[0], X, eta=1.0, variance_noise=X).prev_sample
            failed += not end.isfinite().all()
        else:
            end = sample(build("sampler", "ddim(eta=1.0)"), GAUSSIAN, X, levels_of(made)[:2], lambda s, t: X)
            failed += not end.isfinite().all()
    return failed


def _silent_nan(theirs: bool) -> float:
    if not theirs:
        try:
            coefficients("eps", PURE_NOISE)
        except ValueError:
            return 0
        return 1
    silent = 0
    for name in ("DDIMScheduler", *WITH_GENERATOR):
        made = scheduler(name, 20, **ZERO)
        options = {"generator": seeded(0)} if name in WITH_GENERATOR else {}
        silent += bool(made.step(X, made.timesteps[0], X, **options).prev_sample.isnan().any())
    return silent


def _bias(theirs: bool) -> float:
    """Of the mean of 20-step images from pure noise, which a linear sampler makes of noise 0."""
    x = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    if theirs:
        options = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "clip_sample": False}
        made = scheduler("DDIMScheduler", 20, **options)
        for t, level in zip(made.timesteps, levels_of(made), strict=False):
            x = made.step(velocity(x, level, GAUSSIAN), t, x).prev_sample
    else:
        x = sample(build("sampler", "ddim"), GAUSSIAN, x, Trailing()(ZeroTerminalSNR(ScaledLinear()), 20))
    return abs(x.item() - GAUSSIAN.mean)


def _karras(theirs: bool) -> float:
    options = {**ZERO, "use_karras_sigmas": True, "prediction_type": "v_prediction"}
    if not theirs:
        levels = Karras(sigma_max=80.0)(ZeroTerminalSNR(ScaledLinear()), 50)
        return error(ours("dpmpp_2m"), levels)
    made = scheduler("DPMSolverMultistepScheduler", 50, **options)

    def run(x: torch.Tensor, levels: object) -> torch.Tensor:
        for t, level in zip(made.timesteps, vp_sigmas(made), strict=False):
            x = made.step(velocity(x, level), t, x).prev_sample
        return x

    return error(run, vp_sigmas(made))


FAULTS = (
    Fault(
        "zero-snr-ddim-eta-1",
        "diffusers",
        "DDIMScheduler, rescale_betas_zero_snr, eta=1",
        "The first step takes the root of a rounding error below 0.",
        "of 20 numbers of steps up to 100, those that give NaN",
        *sides(_nan_at_eta_1),
        at_most=0,
        threads=("huggingface/diffusers#5969",),
    ),
    Fault(
        "zero-snr-eps",
        "diffusers",
        "DDIM, DDPM, LCM and TCD, rescale_betas_zero_snr, prediction_type='epsilon'",
        "eps says nothing about the image at alpha = 0; they divide by 0 and go on, ours refuses with the reason.",
        "schedulers that return NaN without an error",
        *sides(_silent_nan),
        at_most=0,
        threads=("huggingface/diffusers#3851", "huggingface/diffusers#5103"),
    ),
    Fault(
        "zero-snr-leading",
        "diffusers",
        "DDIMScheduler, rescale_betas_zero_snr, default timestep_spacing",
        "Leading timesteps start at 950, where the network expects part of an image; ours refuses that spacing.",
        "bias of the mean brightness of 20-step images",
        *sides(_bias),
        at_most=1e-3,
        threads=("huggingface/diffusers#4195", "huggingface/diffusers#6024"),
    ),
    Fault(
        "zero-snr-karras",
        "diffusers",
        "DPMSolverMultistepScheduler, rescale_betas_zero_snr, use_karras_sigmas",
        "Sigmas above the second are the same timestep, and its index is looked up by timestep.",
        "error after 50 steps",
        *sides(_karras),
        at_most=0.02,
        raises="IndexError",
        threads=("huggingface/diffusers#12771", "huggingface/diffusers#7214"),
    ),
)

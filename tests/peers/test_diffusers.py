"""The same images as diffusers' schedulers, driven by an exact model on their own timesteps and tables.

Our paths are built from their numbers, so that only arithmetic differs: 1e-10 where theirs runs in the dtype of the
sample, 1e-5 where it converts the sample to float32 or keeps float32 coefficients.
"""

import math

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
)

from sigmabench.plugins.names import resolve
from sigmabench.plugins.registry import build
from sigmabench.samplers import DDIM, DDPM, DPMpp2M, DPMpp2MSDE, Euler, Heun, Level
from sigmabench.samplers.level import CLEAN
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.run import sample

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

SEEDS, SHAPE = (1, 2), (3, 4, 4)
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def start(scale=1.0):
    return SeededNoise(SEEDS, SHAPE, dtype=torch.float64).initial() * scale


def steps_noise():
    return SeededNoise(SEEDS, SHAPE, dtype=torch.float64)


def prediction(kind, x, level):
    x0 = BIMODAL(x, level)
    eps = (x - level.alpha * x0) / level.sigma
    return {"epsilon": eps, "v_prediction": level.alpha * eps - level.sigma * x0, "flow": eps - x0}[kind]


def levels_of(scheduler):
    """Variance preserving levels of a scheduler's timesteps, in float64, then clean."""
    abar = scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    return [Level(math.sqrt(abar[t]), math.sqrt(1 - abar[t])) for t in scheduler.timesteps.tolist()] + [CLEAN]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_equals_diffusers_ddim(eta, kind, spacing):
    theirs = DDIMScheduler(**SD, clip_sample=False, prediction_type=kind, timestep_spacing=spacing)
    theirs.set_timesteps(20)
    theirs.final_alpha_cumprod = theirs.final_alpha_cumprod.double()
    levels, x, draw = levels_of(theirs), start(), steps_noise()
    for t, level in zip(theirs.timesteps, levels, strict=False):
        noise = draw(level, level) if eta else None
        x = theirs.step(prediction(kind, x, level), t, x, eta=eta, variance_noise=noise).prev_sample
    assert torch.allclose(sample(DDIM(eta=eta), BIMODAL, start(), levels, steps_noise()), x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm_equals_diffusers_ddpm(variance):
    """Theirs bounds a variance of 0 by 1e-20, a deviation of 1e-10, in the last step."""
    theirs = DDPMScheduler(**SD, clip_sample=False, variance_type=f"fixed_{variance}", timestep_spacing="leading")
    theirs.set_timesteps(25)
    theirs.one = theirs.one.double()
    levels, x, generator = levels_of(theirs), start(), torch.Generator().manual_seed(0)
    for t, level in zip(theirs.timesteps, levels, strict=False):
        x = theirs.step(prediction("epsilon", x, level), t, x, generator=generator).prev_sample
    again = torch.Generator().manual_seed(0)
    noise = lambda s, t: torch.randn(x.shape, generator=again, dtype=torch.float64)  # noqa: E731
    assert torch.allclose(sample(DDPM(variance=variance), BIMODAL, start(), levels, noise), x, rtol=1e-9, atol=1e-9)


def test_euler_equals_diffusers_euler():
    theirs = EulerDiscreteScheduler(**SD, timestep_spacing="trailing")
    theirs.set_timesteps(20)
    levels = [Level(1.0, sigma) for sigma in theirs.sigmas.tolist()]
    x = start(levels[0].sigma)
    for t, level in zip(theirs.timesteps, levels, strict=False):
        theirs.scale_model_input(x, t)
        x = theirs.step(prediction("epsilon", x, level), t, x).prev_sample
    assert torch.allclose(sample(Euler(), BIMODAL, start(levels[0].sigma), levels), x.double(), rtol=1e-5, atol=1e-5)


def test_heun_equals_diffusers_heun():
    theirs = HeunDiscreteScheduler(**SD, timestep_spacing="trailing")
    theirs.set_timesteps(20)
    sigmas = theirs.sigmas.tolist()  # each but the first and the last twice, as it counts evaluations
    levels = [Level(1.0, sigma) for sigma in (sigmas[0], *sigmas[1::2])]
    x = start(levels[0].sigma)
    for i, t in enumerate(theirs.timesteps):
        level = levels[(i + 1) // 2]
        theirs.scale_model_input(x, t)
        x = theirs.step(prediction("epsilon", x, level), t, x).prev_sample
    assert torch.allclose(sample(Heun(), BIMODAL, start(levels[0].sigma), levels), x.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("sde", "steps"), [(False, 20), (True, 20), (False, 1), (True, 1)])
def test_dpmpp_2m_equals_diffusers_dpm_solver_multistep(sde, steps, kind, solver):
    algorithm = "sde-dpmsolver++" if sde else "dpmsolver++"
    theirs = DPMSolverMultistepScheduler(
        **SD, timestep_spacing="trailing", algorithm_type=algorithm, solver_type=solver, prediction_type=kind
    )
    theirs.set_timesteps(steps)
    levels = [Level(1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)) for sigma in theirs.sigmas.tolist()]
    x, draw = start(), steps_noise()
    for t, level in zip(theirs.timesteps, levels, strict=False):
        noise = draw(level, level) if sde else None
        x = theirs.step(prediction(kind, x, level), t, x, variance_noise=noise).prev_sample
    ours = DPMpp2MSDE(eta=1.0 if sde else 0.0, solver=solver)
    end = sample(ours, BIMODAL, start(), levels, steps_noise())
    assert torch.allclose(end, x.double(), rtol=1e-5, atol=2e-5)
    if not sde and solver == "midpoint":
        assert torch.equal(end, sample(DPMpp2M(), BIMODAL, start(), levels))


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_euler_equals_diffusers_flow_match_euler(shift):
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(20)
    levels = [Level(1 - sigma, sigma) for sigma in theirs.sigmas.tolist()]
    assert levels[0].alpha == 0
    x = start()
    for t, level in zip(theirs.timesteps, levels, strict=False):
        x = theirs.step(prediction("flow", x, level), t, x).prev_sample
    assert torch.allclose(sample(Euler(), BIMODAL, start(), levels), x.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_heun_on_flow_models_equals_diffusers_by_the_velocity(steps):
    theirs = FlowMatchHeunDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(steps)
    sigmas = theirs.sigmas.double().tolist()
    levels, x = [Level(1 - sigma, sigma) for sigma in (sigmas[0], *sigmas[1::2])], start()
    for t in theirs.timesteps:
        level = Level(1 - float(t) / 1000, float(t) / 1000)
        x = theirs.step(prediction("flow", x, level), t, x).prev_sample.double()
    ours = sample(build("sampler", resolve("FlowMatchHeunDiscreteScheduler()").sampler), BIMODAL, start(), levels)
    assert (ours - x).abs().max() < 1e-6

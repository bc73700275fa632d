"""Where the levels of diffusers are not those of their formulas, and ours are; a repair turns a test red."""

import math
from itertools import pairwise

import numpy as np
import pytest
from diffusers import (
    DDIMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    IPNDMScheduler,
    LMSDiscreteScheduler,
    UniPCMultistepScheduler,
)

from sigmabench.plugins.registry import build
from sigmabench.samplers import Path
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.schedules import Cosine, Flow, Linear, ScaledLinear, ZeroTerminalSNR
from sigmabench.samplers.spacings import (
    Beta,
    Crash,
    DDIMUniform,
    Exponential,
    Karras,
    KLOptimal,
    Laplace,
    Leading,
    Trailing,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

SD = ScaledLinear()
CONFIG = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
OWN_RANGE = (pytest.approx(14.6146, abs=1e-3), pytest.approx(0.029168, abs=1e-5))


def theirs(scheduler, steps, **options):
    instance = scheduler(**{**CONFIG, **options})
    instance.set_timesteps(steps)
    return instance


def range_of(sigmas):
    noisy = [float(sigma) for sigma in sigmas if sigma]
    return noisy[0], noisy[-1]


@pytest.mark.parametrize("spacing", [Karras(), Exponential(), KLOptimal(), Laplace()], ids=repr)
@pytest.mark.parametrize("steps", [2, 10, 100])
def test_spacings_in_sigma_go_from_the_noisiest_to_the_cleanest_trained_level(spacing, steps):
    assert range_of([level.ve_sigma for level in spacing(SD, steps)]) == OWN_RANGE


@pytest.mark.xfail(
    raises=AssertionError,
    strict=True,
    reason="diffusers takes the ends of the sigmas from timesteps that it has spaced already",
)
@pytest.mark.parametrize("scheduler", [EulerDiscreteScheduler, HeunDiscreteScheduler, LMSDiscreteScheduler])
@pytest.mark.parametrize("option", ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_diffusers_sigmas_go_from_the_noisiest_to_the_cleanest_trained_level(scheduler, option, spacing):
    assert range_of(theirs(scheduler, 10, timestep_spacing=spacing, **{option: True}).sigmas) == OWN_RANGE


def test_one_step_of_karras_starts_at_the_noisiest_level():
    assert Karras()(SD, 1) == [SD.level(1.0), CLEAN]


@pytest.mark.xfail(raises=AssertionError, strict=True, reason="diffusers' one timestep of linspace is 0, the cleanest")
@pytest.mark.parametrize("scheduler", [EulerDiscreteScheduler, HeunDiscreteScheduler, LMSDiscreteScheduler])
@pytest.mark.parametrize("karras", [False, True])
def test_diffusers_one_step_starts_at_the_noisiest_level(scheduler, karras):
    sigmas = theirs(scheduler, 1, timestep_spacing="linspace", use_karras_sigmas=karras).sigmas
    assert float(sigmas[0]) == OWN_RANGE[0]


@pytest.mark.parametrize("spacing", [Karras(), Exponential(), Beta(), Trailing()], ids=repr)
def test_no_step_of_a_thousand_is_repeated(spacing):
    levels = Path(spacing(SD, 1000)).levels
    times = [SD.time(level) for level in levels]
    assert all(noisy > clean for noisy, clean in pairwise(times))


@pytest.mark.xfail(
    raises=AssertionError,
    strict=True,
    reason="diffusers rounds the times of its sigmas to whole timesteps, which then repeat",
)
@pytest.mark.parametrize("scheduler", [DPMSolverMultistepScheduler, UniPCMultistepScheduler, DEISMultistepScheduler])
@pytest.mark.parametrize("option", ["use_karras_sigmas", "use_beta_sigmas"])
def test_diffusers_repeats_no_timestep(scheduler, option):
    timesteps = theirs(scheduler, 200, **{option: True}).timesteps.tolist()
    assert len(set(timesteps)) == len(timesteps)


def test_the_first_levels_of_karras_on_cosine_are_different_times():
    times = [Cosine().time(level) for level in Karras()(Cosine(), 20)]
    assert times[0] == pytest.approx(1.0)
    assert all(noisy > clean for noisy, clean in pairwise(times))


@pytest.mark.xfail(
    raises=AssertionError,
    strict=True,
    reason="diffusers calls four levels from 20291 to 7000 timestep 998, and none 999",
)
def test_diffusers_first_timesteps_of_karras_on_cosine_are_different():
    timesteps = theirs(
        DPMSolverMultistepScheduler, 20, beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True
    ).timesteps.tolist()
    assert timesteps[0] == 999
    assert len(set(timesteps)) == 20


def test_beta_takes_quantiles_of_time():
    assert Beta()(SD, 20)[10].ve_sigma == pytest.approx(1.62, abs=0.01)


@pytest.mark.xfail(
    raises=AssertionError,
    strict=True,
    reason="diffusers takes quantiles of sigma, which arXiv:2407.12173 takes of time",
)
@pytest.mark.parametrize("scheduler", [DPMSolverMultistepScheduler, EulerDiscreteScheduler])
def test_diffusers_beta_takes_quantiles_of_time(scheduler):
    assert theirs(scheduler, 20, use_beta_sigmas=True).sigmas[10].item() == pytest.approx(1.62, abs=0.1)


@pytest.mark.xfail(
    raises=AssertionError, strict=True, reason="diffusers' DEIS repeats its last sigma instead of denoising to 0"
)
@pytest.mark.parametrize("option", ["use_karras_sigmas", "use_exponential_sigmas"])
def test_diffusers_deis_ends_clean(option):
    sigmas = theirs(DEISMultistepScheduler, 10, **{option: True}).sigmas.tolist()
    assert sigmas[-1] == 0
    assert all(noisy > clean for noisy, clean in pairwise(sigmas))


@pytest.mark.parametrize("spacing", [Leading(), DDIMUniform()], ids=repr)
def test_leading_is_refused_at_zero_terminal_snr(spacing):
    with pytest.raises(ValueError, match="must start there; use trailing or linspace"):
        spacing(ZeroTerminalSNR(), 20)


@pytest.mark.xfail(
    raises=AssertionError,
    strict=True,
    reason="diffusers starts at timestep 950 of a network that begins at 999, and says nothing",
)
def test_diffusers_starts_at_pure_noise_at_zero_terminal_snr():
    scheduler = theirs(DDIMScheduler, 20, rescale_betas_zero_snr=True)
    assert scheduler.alphas_cumprod[scheduler.timesteps[0]] == 0


def test_karras_at_zero_terminal_snr_starts_at_pure_noise_and_says_what_it_needs():
    assert build("spacing", "karras(sigma_max=80)")(ZeroTerminalSNR(), 20)[0] == PURE_NOISE
    with pytest.raises(ValueError, match="give sigma_max"):
        Karras()(ZeroTerminalSNR(), 20)


@pytest.mark.xfail(
    raises=AssertionError, strict=True, reason="diffusers puts 4096 for infinity and then repeats timesteps"
)
def test_diffusers_karras_at_zero_terminal_snr_has_different_timesteps():
    options = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "use_karras_sigmas": True}
    timesteps = theirs(DPMSolverMultistepScheduler, 20, **options).timesteps.tolist()
    assert len(set(timesteps)) == 20


def test_crash_keeps_to_the_levels_of_the_schedule():
    for level in Crash()(SD, 10):
        assert level == pytest.approx(SD.level(SD.time(level)), rel=1e-9)
    assert Crash()(SD, 10)[0] == SD.level(1.0)


@pytest.mark.xfail(
    raises=AssertionError, strict=True, reason="diffusers' IPNDM starts at alpha = 0 whatever the betas of the model"
)
def test_diffusers_ipndm_starts_at_the_noisiest_trained_level():
    scheduler = IPNDMScheduler(trained_betas=np.array(SD.betas()))
    scheduler.set_timesteps(10)
    assert scheduler.alphas[0].item() == pytest.approx(SD.level(1.0).alpha, rel=1e-3)


COMFYUI = {
    "ddim_uniform": (30, 60, 63),  # one too many
    "kl_optimal": (1,),  # not a number
    "beta": (139, 200, 1000),  # too few
    "beta(alpha=0.5, beta=0.7)": (97, 1000),  # too few
    "laplace": (1, 2, 20, 1000),  # no last 0, repeated ends
    "linear_quadratic": (1, 2, 3),
    "normal": (1, 20),
}
"""Numbers of steps for which ComfyUI 0.3.64 gives another number of levels, or none, or levels that do not fall."""


@pytest.mark.parametrize(("text", "steps"), [(text, steps) for text, counts in COMFYUI.items() for steps in counts])
@pytest.mark.parametrize("schedule", [SD, Linear()], ids=repr)
def test_the_steps_that_comfyui_miscounts_are_counted_right(text, steps, schedule):
    path = Path(build("spacing", text)(schedule, steps))
    assert len(path) == steps
    assert path.levels[-1] == CLEAN


def test_the_last_trained_level_of_a_shifted_flow_is_shifted_once():
    *_, last, _ = build("spacing", "normal")(Flow(shift=3.0), 20)
    assert last.sigma == pytest.approx(3 * 0.001 / (1 + 2 * 0.001), rel=1e-12)
    assert math.isclose(last.sigma, 0.002994, rel_tol=1e-3)

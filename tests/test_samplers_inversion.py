"""From images up to noise and back: round trips, exactness, and the numbers of diffusers' inverse schedulers."""

import math
from itertools import pairwise

import pytest
import torch

from sigmabench.plugins.registry import build
from sigmabench.samplers import DPMpp2M, Euler, Heun, Level, Path
from sigmabench.samplers.conformance.convergence import SCALES, jagged_path, normal_quantiles, pure_noise_path, slope
from sigmabench.samplers.conformance.trial import Watched
from sigmabench.samplers.inversion import DDIMInverse, Inverse
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN, Mixture
from sigmabench.samplers.run import sample

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}


def images():
    return normal_quantiles(9) / 2


def there_and_back(up, down, path):
    noise = sample(up, BIMODAL, images(), path)
    return (sample(down, BIMODAL, noise, path) - images()).square().mean().sqrt().item()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("dpmpp_2m", 2), ("heun", 2), ("dpmpp_3s", 3)])
def test_a_round_trip_has_the_order_of_the_sampler(sampler, order, scale):
    up, down = build("sampler", f"inverse({sampler})"), build("sampler", sampler)
    errors = [there_and_back(up, down, jagged_path(scale, n)) for n in (40, 80, 160)]
    assert slope((40, 80, 160), errors) > order - 0.15


@pytest.mark.parametrize("scale", SCALES)
def test_a_converged_ddim_inversion_is_undone_by_euler_to_rounding(scale):
    for path in (jagged_path(scale, 6), pure_noise_path("flow" if scale == "VE" else scale, 6)):
        errors = [there_and_back(DDIMInverse(iterations=i), Euler(), path) for i in (1, 3, 9, 60)]
        assert errors[0] > errors[1] > errors[2] > errors[3]
        assert errors[3] < 1e-8


def test_from_a_clean_image_the_converged_inversion_keeps_the_image_too():
    path = Path([*jagged_path("VP", 8).levels, CLEAN])
    assert there_and_back(DDIMInverse(iterations=60), Euler(), path) < 1e-10


@pytest.mark.parametrize("up", [Inverse(), Inverse(DPMpp2M())], ids=repr)
def test_noise_of_data_that_are_one_point_is_exact(up):
    """Then eps is the same all the way, whatever the steps."""
    point, t = Mixture(means=(0.6,), stds=(1e-9,)), Level(0.8, 0.6)
    eps = normal_quantiles(5)
    for s in (Level(0.6, 0.8), PURE_NOISE):
        noise = sample(up, point, 0.6 * t.alpha + t.sigma * eps, [s, Level(0.7, math.sqrt(0.51)), t])
        assert torch.allclose(noise, 0.6 * s.alpha + s.sigma * eps, atol=1e-7)


def test_the_noise_of_gaussian_data_is_unit_noise():
    """Images at the data's quantiles come to the quantiles of unit noise."""
    z = normal_quantiles(9)
    path = Path([*pure_noise_path("flow", 400, last=0.005).levels, CLEAN])
    noise = sample(Inverse(Heun()), GAUSSIAN, 0.6 + 0.5 * z, path)
    assert torch.allclose(noise, z, atol=0.02)


def test_a_single_step_to_pure_noise_and_noise_inside_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="every noise leads there; take two"):
        sample(Inverse(), GAUSSIAN, images(), [PURE_NOISE, CLEAN])
    with pytest.raises(ValueError, match="noise cannot be undone; use euler"):
        sample(build("sampler", "inverse(euler_ancestral)"), GAUSSIAN, images(), jagged_path("VP", 3))


def test_levels_are_asked_for_from_clean_to_noisy():
    path = Path([PURE_NOISE, *(SCALES["flow"](sigma) for sigma in (3.0, 1.0, 0.3)), CLEAN])
    for up, expected in ((Inverse(), path.levels[3:0:-1]), (DDIMInverse(), path.levels[3::-1])):
        model = Watched(GAUSSIAN)
        sample(up, model, images(), path)
        asked = [path.levels.index(level) for level in model.levels]
        assert asked == [
            path.levels.index(level) for level in ((path.levels[3], *expected) if up == Inverse() else expected)
        ]


def level_of(scheduler, t):
    abar = scheduler.alphas_cumprod[t].item()
    return Level(math.sqrt(abar), math.sqrt(1 - abar))


def noise_in(x, level):
    return (x - level.alpha * BIMODAL(x, level)) / level.sigma


def test_ddim_inversion_equals_diffusers():
    from diffusers import DDIMInverseScheduler

    theirs = DDIMInverseScheduler(**SD, set_alpha_to_one=True)
    theirs.alphas_cumprod, theirs.initial_alpha_cumprod = theirs.alphas_cumprod.double(), torch.ones(()).double()
    theirs.set_timesteps(10)
    levels, x = [level_of(theirs, t) for t in theirs.timesteps.tolist()], images()
    for t, level in zip(theirs.timesteps.tolist(), levels, strict=True):
        x = theirs.step(noise_in(x, level), t, x).prev_sample
    ours = sample(DDIMInverse(compat=True), BIMODAL, images(), [*reversed(levels), CLEAN])
    assert torch.allclose(ours, x, rtol=1e-10, atol=1e-10)


def test_inverse_of_dpmpp_2m_equals_diffusers():
    from diffusers import DPMSolverMultistepInverseScheduler

    theirs = DPMSolverMultistepInverseScheduler(**{k: v for k, v in SD.items() if k != "clip_sample"})
    theirs.set_timesteps(20)
    levels = [level_of(theirs, t) for t in (*theirs.timesteps.tolist(), 999)]
    theirs.sigmas, x = torch.tensor([level.ve_sigma for level in levels], dtype=torch.float64), images()
    for t, level in zip(theirs.timesteps, levels, strict=False):
        x = theirs.step(noise_in(x, level), t, x).prev_sample
    ours = sample(Inverse(DPMpp2M()), BIMODAL, images(), levels[::-1])
    assert torch.allclose(ours, x, rtol=1e-6, atol=1e-6)  # theirs rounds to float32


@pytest.mark.xfail(
    raises=AssertionError, strict=True, reason="diffusers goes 1000 // steps timesteps back for the level it is at"
)
def test_diffusers_ddim_inversion_knows_the_level_that_it_is_at():
    """Each step of a trailing grid that 1000 is no multiple of begins where the last one ended."""
    from diffusers import DDIMInverseScheduler

    theirs = DDIMInverseScheduler(**SD, timestep_spacing="trailing")
    theirs.set_timesteps(30)
    times, back = theirs.timesteps.tolist(), theirs.config.num_train_timesteps // theirs.num_inference_steps
    assert all(second - back == first for first, second in pairwise(times))


@pytest.mark.xfail(
    raises=AssertionError, strict=True, reason="diffusers reads v of the next level with the alpha of this one"
)
def test_diffusers_ddim_inversion_is_the_same_for_v_as_for_eps():
    from diffusers import DDIMInverseScheduler

    ends = []
    for kind in ("epsilon", "v_prediction"):
        theirs = DDIMInverseScheduler(**SD, prediction_type=kind)
        theirs.set_timesteps(10)
        x = images()
        for t in theirs.timesteps.tolist():
            level = level_of(theirs, t)
            eps = noise_in(x, level)
            v = level.alpha * eps - level.sigma * (x - level.sigma * eps) / level.alpha
            x = theirs.step(eps if kind == "epsilon" else v, t, x).prev_sample
        ends.append(x)
    assert torch.allclose(*ends, atol=1e-6)


@pytest.mark.xfail(
    raises=AssertionError, strict=True, reason="diffusers' trailing ends at the noisiest level and then repeats it"
)
def test_diffusers_inverse_dpm_solver_repeats_no_level():
    from diffusers import DPMSolverMultistepInverseScheduler

    theirs = DPMSolverMultistepInverseScheduler(timestep_spacing="trailing")
    theirs.set_timesteps(10)
    sigmas = theirs.sigmas.tolist()
    assert all(s < t for s, t in pairwise(sigmas))


def test_hosts_that_begin_with_noise_refuse():
    from sigmabench.plugins.diffusers.scheduler import StepScheduler

    ours = StepScheduler("inverse", "trailing", "scaled_linear", prediction_type="epsilon", num_train_timesteps=1000)
    with pytest.raises(ValueError, match="changes x before its first evaluation"):
        ours.set_timesteps(20)

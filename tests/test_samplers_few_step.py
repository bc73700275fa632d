"""Samplers for distilled networks: identities, exactness where x0 is a sample, and diffusers' numbers."""

import math

import pytest
import torch
from walks import PATHS, run

from sigmabench.samplers import DDIM, EulerAncestral, Level
from sigmabench.samplers.conformance.convergence import SCALES, jagged_path, output_moments, pure_noise_path
from sigmabench.samplers.few_step import LCM, TCD, Consistency
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import Flow, ScaledLinear
from sigmabench.samplers.testing import label

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LCM(), Consistency(sigma_min=0.0)),
        (LCM(), TCD(gamma=1.0)),
        (LCM(), TCD(gamma=1.0, schedule=ScaledLinear())),
        (DDIM(), TCD(gamma=0.0)),
    ],
    ids=label,
)
def test_two_names_of_one_method_give_the_same_image(one, other, path):
    assert torch.allclose(run(one, path), run(other, path), rtol=1e-10, atol=1e-12)


def test_tcd_measures_its_share_in_the_time_of_the_schedule():
    """Flow: (1 - gamma) times the time 0.5 is 0.3, whose sigma/alpha is 3/7 of that of 0.5."""
    x, s, t = torch.ones(1, 1, dtype=torch.float64), Level(0.2, 0.8), Level(0.5, 0.5)
    loud, quiet = (sample(TCD(gamma=0.4, schedule=Flow()), BIMODAL, x, [s, t], lambda s, t, z=z: x * z) for z in (1, 0))
    assert (loud - quiet).item() == pytest.approx(0.5 * math.sqrt(1 - (3 / 7) ** 2), rel=1e-12)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("sampler", [LCM(), Consistency(sigma_min=0.0)], ids=label)
def test_a_perfect_consistency_model_is_sampled_exactly_whatever_the_steps(sampler, scale):
    """Its x0 is the end of the trajectory, a draw of the data, and noise at t on top of that is a state at t."""
    noise = SeededNoise(range(4), (50_000,), dtype=torch.float64)
    path = jagged_path(scale, 3)
    first, last = path.levels[0], path.levels[-1]
    x = GAUSSIAN.flow(noise.initial(), PURE_NOISE, first)
    end = sample(sampler, lambda x, level: GAUSSIAN.flow(x, level, CLEAN), x, path, noise)
    mean, variance = GAUSSIAN.moments(last)
    assert end.mean().item() == pytest.approx(mean, abs=0.01 * last.norm)
    assert end.std().item() == pytest.approx(math.sqrt(variance), rel=0.01)


def test_the_contrast_lost_on_an_ordinary_model_is_as_expected():
    """What the docstring says, in a number: the deviation of LCM's images is less than 80 % of the data's."""
    for scale in ("VP", "flow"):
        mean, std = output_moments(LCM(), pure_noise_path(scale, 40, last=0.0))
        assert mean == pytest.approx(0.6, abs=1e-3)
        assert 0.3 < std < 0.4


def test_consistency_adds_no_noise_below_sigma_min():
    x = torch.ones(1, 1, dtype=torch.float64)
    end = sample(Consistency(sigma_min=0.5), BIMODAL, x, [Level(1.0, 1.0), Level(1.0, 0.4)], lambda s, t: x * 100)
    assert torch.equal(end, BIMODAL(x, Level(1.0, 1.0)))


SEEDS, SHAPE = (1, 2), (3, 4, 4)
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def double_table(scheduler):
    """Its table in float64, and the levels of its timesteps."""
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    return [level_of(scheduler, t) for t in scheduler.timesteps.tolist()]


def level_of(scheduler, t):
    abar = scheduler.alphas_cumprod[t].item()
    return Level(math.sqrt(abar), math.sqrt(1 - abar))


def drawn(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return lambda s, t: torch.randn((len(SEEDS), *SHAPE), generator=generator, dtype=dtype).double()


def velocity(x, level):
    x0 = BIMODAL(x, level)
    return (level.alpha * x - x0) / level.sigma


def start():
    return SeededNoise(SEEDS, SHAPE, dtype=torch.float64).initial()


def test_lcm_equals_diffusers_lcm():
    """With a network whose boundary scaling is in x0 already (timestep_scaling so large that c_out is 1)."""
    from diffusers import LCMScheduler

    theirs = LCMScheduler(**SD, clip_sample=False, prediction_type="v_prediction", timestep_scaling=1e9)
    theirs.set_timesteps(4)
    levels, x, generator = double_table(theirs), start(), torch.Generator().manual_seed(0)
    for t, level in zip(theirs.timesteps, levels, strict=True):
        x = theirs.step(velocity(x, level), t, x, generator=generator).prev_sample
    assert torch.allclose(sample(LCM(), BIMODAL, start(), [*levels, CLEAN], drawn(0)), x, rtol=1e-10, atol=1e-10)


class TheirTime:
    """diffusers' index of a level: 0 is the cleanest, levels between indices do not occur."""

    def __init__(self, scheduler):
        self.levels = [level_of(scheduler, t) for t in range(1000)]

    def time(self, level):
        return min(range(1000), key=lambda i: abs(self.levels[i].alpha - level.alpha))

    def level(self, t):
        return self.levels[math.floor(t + 1e-9)]


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.7])
def test_tcd_equals_diffusers_tcd(gamma):
    """But for their last step, which ends at the cleanest timestep, and is left out here."""
    from diffusers import TCDScheduler

    theirs = TCDScheduler(**SD, clip_sample=False, prediction_type="v_prediction")
    theirs.set_timesteps(4)
    levels, x, generator = double_table(theirs), start(), torch.Generator().manual_seed(0)
    for t, level in zip(theirs.timesteps[:-1], levels[:-1], strict=True):
        x = theirs.step(velocity(x, level), t, x, eta=gamma, generator=generator).prev_sample
    end = sample(TCD(gamma=gamma, schedule=TheirTime(theirs)), BIMODAL, start(), levels, drawn(0))
    assert torch.allclose(end, x, rtol=1e-10, atol=1e-10)


def sharp(x, level):
    """A model sure of black."""
    return torch.zeros_like(x)


def test_tcd_returns_a_clean_image():
    levels = [ScaledLinear().level(0.5), CLEAN]
    assert sample(TCD(), sharp, start(), levels, drawn(0)).abs().max() == 0


def test_consistency_equals_diffusers_consistency_models():
    from diffusers import CMStochasticIterativeScheduler

    theirs = CMStochasticIterativeScheduler()
    theirs.set_timesteps(5)
    sigmas = theirs.sigmas.tolist()
    levels = [Level(1.0, sigma) for sigma in sigmas[:-1]] + [CLEAN]
    x, generator = start() * sigmas[0], torch.Generator().manual_seed(0)

    def model(x, level):
        return BIMODAL(x, level).clamp(-1, 1)

    for t, level in zip(theirs.timesteps, levels, strict=False):
        c_skip, c_out = theirs.get_scalings_for_boundary_condition(torch.tensor(level.sigma, dtype=torch.float64))
        theirs.scale_model_input(x, t)
        output = (model(x, level) - c_skip * x) / c_out
        x = theirs.step(output, t, x, generator=generator).prev_sample
    end = sample(Consistency(), model, start() * sigmas[0], levels, drawn(0))
    assert torch.allclose(end, x.double(), rtol=1e-5, atol=1e-5)


def test_lcm_on_trigflow_equals_diffusers_scm():
    """Their images are sigma_data times ours, and so is their noise."""
    from diffusers import SCMScheduler

    theirs = SCMScheduler()  # whose default start of 1.5708 has an alpha just below 0
    theirs.set_timesteps(2, max_timesteps=1.57)
    scale, times = theirs.config.sigma_data, theirs.timesteps.double().tolist()
    levels = [Level(math.cos(t), math.sin(t)) for t in times[:-1]] + [CLEAN]
    x, generator = start() * scale, torch.Generator().manual_seed(0)
    for t, level in zip(theirs.timesteps[:-1], levels, strict=False):
        x = theirs.step(scale * velocity(x / scale, level), t, x, generator=generator).prev_sample
    end = sample(LCM(), BIMODAL, start(), levels, drawn(0, torch.float32))
    assert torch.allclose(scale * end, x.double(), rtol=1e-5, atol=1e-5)


def test_lcm_on_flow_equals_diffusers_flow_match_with_stochastic_sampling():
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    theirs.set_timesteps(5)
    levels = [Level(1 - sigma, sigma) for sigma in theirs.sigmas.tolist()]
    x, generator = start(), torch.Generator().manual_seed(0)
    for t, level in zip(theirs.timesteps, levels, strict=False):
        x = theirs.step((x - BIMODAL(x, level)) / level.sigma, t, x, generator=generator).prev_sample
    end = sample(LCM(), BIMODAL, start(), levels, drawn(0, torch.float32))
    assert torch.allclose(end, x.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_euler_ancestral_with_noise_of_the_flow_equals_diffusers(eta):
    from diffusers import LTXEulerAncestralRFScheduler

    theirs = LTXEulerAncestralRFScheduler(eta=eta)
    theirs.set_timesteps(6)
    levels = [Level(1 - sigma, sigma) for sigma in theirs.sigmas.tolist()]
    x, generator = start().float(), torch.Generator().manual_seed(0)
    for t, level in zip(theirs.timesteps, levels, strict=False):
        x = theirs.step((x - BIMODAL(x, level)) / level.sigma, t, x, generator=generator).prev_sample
    end = sample(EulerAncestral(eta=eta, noise="flow"), BIMODAL, start(), levels, drawn(0, torch.float32))
    assert torch.allclose(end, x.double(), rtol=1e-5, atol=1e-5)

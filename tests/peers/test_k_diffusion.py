"""The same numbers as k-diffusion, the implementation that most programs copied, in float64."""

import math

import pytest
import torch

from sigmabench.samplers import DPM2, LMS, DPMpp2M, DPMpp2MSDE, DPMpp2S, DPMpp3M, Euler, EulerAncestral, Heun, Level
from sigmabench.samplers.bridge import ancestral_std
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import ScaledLinear
from sigmabench.samplers.spacings import Exponential, Karras

PATHS = {
    "karras": [level.ve_sigma for level in Karras()(ScaledLinear(), 12)],
    "exponential": [level.ve_sigma for level in Exponential(sigma_min=0.1)(ScaledLinear(), 7)],
    "uneven, split": [20.0, 11.0, 10.0, 4.0, 1.0, 0.9, 0.3],
    "one step": [3.0, 0.5],
}

PAIRS = {
    "euler": (Euler(), "sample_euler", {}),
    "heun": (Heun(), "sample_heun", {}),
    "dpm_2": (DPM2(), "sample_dpm_2", {}),
    "dpmpp_2s": (DPMpp2S(), "sample_dpmpp_2s_ancestral", {"eta": 0.0}),
    "dpmpp_3m": (DPMpp3M(compat=True), "sample_dpmpp_3m_sde", {"eta": 0.0}),
    "dpmpp_2m": (DPMpp2M(), "sample_dpmpp_2m", {}),
    "euler_ancestral": (EulerAncestral(), "sample_euler_ancestral", {}),
    "euler_ancestral eta": (
        EulerAncestral(eta=0.6, s_noise=1.05),
        "sample_euler_ancestral",
        {"eta": 0.6, "s_noise": 1.05},
    ),
    "euler_ancestral loud": (EulerAncestral(eta=2.0), "sample_euler_ancestral", {"eta": 2.0}),
    "dpmpp_2m_sde": (DPMpp2MSDE(), "sample_dpmpp_2m_sde", {}),
    "dpmpp_2m_sde eta": (DPMpp2MSDE(eta=0.4, s_noise=0.9), "sample_dpmpp_2m_sde", {"eta": 0.4, "s_noise": 0.9}),
    "dpmpp_2m_sde heun": (DPMpp2MSDE(solver="heun"), "sample_dpmpp_2m_sde", {"solver_type": "heun"}),
    "dpmpp_2m_sde ode": (
        DPMpp2MSDE(eta=0.0, solver="heun"),
        "sample_dpmpp_2m_sde",
        {"eta": 0.0, "solver_type": "heun"},
    ),
}


@pytest.mark.parametrize("sigmas", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS.values(), ids=PAIRS)
def test_a_sampler_equals_k_diffusions(sampling, ours, theirs, options, sigmas):
    seeds, shape = (1, 2, 3), (4, 5)
    x = SeededNoise(seeds, shape, dtype=torch.float64).initial() * sigmas[0]
    if ours.stochastic:
        draw = SeededNoise(seeds, shape, dtype=torch.float64)
        options = {**options, "noise_sampler": lambda s, t: draw(s, t)}
    elif "eta" in options:
        options = {**options, "noise_sampler": lambda s, t: x * 0}

    def model(x, sigma):
        return BIMODAL(x, [Level(1.0, value) for value in sigma.tolist()])

    levels = torch.tensor(sigmas, dtype=torch.float64)
    expected = getattr(sampling, theirs)(model, x, levels, disable=True, **options)
    noise = SeededNoise(seeds, shape, dtype=torch.float64)
    end = sample(ours, BIMODAL, x, [Level(1.0, sigma) for sigma in sigmas], noise)
    assert torch.allclose(end, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("points", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["uneven, split", "one step"])
def test_lms_equals_k_diffusions(sampling, name, points):
    """On paths that end above 0; a last step to 0 returns x0 here and extrapolates eps there."""
    sigmas = PATHS[name]
    x = SeededNoise((1, 2), (4, 5), dtype=torch.float64).initial() * sigmas[0]

    def model(x, sigma):
        return BIMODAL(x, [Level(1.0, value) for value in sigma.tolist()])

    levels = torch.tensor(sigmas, dtype=torch.float64)
    expected = sampling.sample_lms(model, x, levels, disable=True, order=points)
    end = sample(LMS(points=points), BIMODAL, x, [Level(1.0, sigma) for sigma in sigmas])
    assert torch.allclose(end, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("steps", [2, 5, 30])
def test_sigmas_equal_k_diffusions(sampling, steps):
    low, high = ScaledLinear().level(1e-3).ve_sigma, ScaledLinear().level(1.0).ve_sigma
    for spacing, theirs in ((Karras(), "get_sigmas_karras"), (Exponential(), "get_sigmas_exponential")):
        ours = [level.ve_sigma for level in spacing(ScaledLinear(), steps)]
        assert ours == pytest.approx(
            getattr(sampling, theirs)(steps, low, high).tolist(), rel=1e-5
        )  # theirs are float32


def test_ancestral_deviation_equals_k_diffusions(sampling):
    for s, t in ((14.6, 9.0), (1.0, 0.999), (0.5, 0.01)):
        down, up = sampling.get_ancestral_step(s, t)
        assert ancestral_std(Level(1.0, s), Level(1.0, t)) == pytest.approx(up, rel=1e-12)
        assert math.hypot(down, up) == pytest.approx(t, rel=1e-12)

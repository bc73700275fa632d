"""The first samplers: the identities between them, and exactness where the data allow it."""

import pytest
import torch

from sigmabench.samplers import DDIM, DDPM, DPMpp2M, DPMpp2MSDE, Euler, EulerAncestral, Heun, Level, Path
from sigmabench.samplers.bridge import ancestral_std, bridge
from sigmabench.samplers.conformance.convergence import SCALES, jagged_path, output_moments, pure_noise_path
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.run import sample
from sigmabench.samplers.testing import label

PATHS = {
    "VE": Path([*jagged_path("VE", 9).levels, CLEAN]),
    "VP": jagged_path("VP", 9),
    "flow": pure_noise_path("flow", 9, last=0.0),
    "zero terminal SNR": pure_noise_path("VP", 9),
}


def run(sampler, path, seeds=(1, 2, 3)):
    noise = SeededNoise(seeds, (5,), dtype=torch.float64)
    return sample(sampler, BIMODAL, noise.initial() * path.levels[0].norm, path, noise)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (EulerAncestral(eta=1.0), DDIM(eta=1.0)),
        (DDIM(eta=1.0), DDPM(variance="small")),
        (EulerAncestral(eta=0.3), DDIM(eta=0.3)),
        (Euler(), DDIM(eta=0.0)),
        (Euler(), EulerAncestral(eta=0.0)),
        (DPMpp2M(), DPMpp2MSDE(eta=0.0, solver="midpoint")),
    ],
    ids=label,
)
def test_two_names_of_one_method_give_the_same_image(one, other, path):
    assert torch.equal(run(one, path), run(other, path))


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_one_step_of_the_sde_solver_with_eta_one_is_ancestral_sampling(path):
    """exp(-h) of the reverse SDE and the posterior's ratio are the same number."""
    for s, t in path:
        step = Path([s, t])
        assert torch.allclose(run(DPMpp2MSDE(eta=1.0), step), run(EulerAncestral(), step), rtol=1e-12, atol=1e-14)


def test_ddpm_with_large_variance_is_exact_for_data_of_unit_variance():
    from sigmabench.samplers.problems import Mixture

    unit = Mixture(means=(0.0,), stds=(1.0,))
    for steps in (1, 3, 10):
        mean, std = output_moments(DDPM(variance="large"), jagged_path("VP", steps), unit)
        assert mean == pytest.approx(0.0, abs=1e-14)
        assert std == pytest.approx(1.0, abs=1e-12)


def test_ddpm_with_small_variance_is_exact_for_data_at_a_point():
    from sigmabench.samplers.problems import Mixture

    point = Mixture(means=(0.7,), stds=(1e-9,))
    for steps in (1, 3, 10):
        path = jagged_path("VP", steps)
        end = path.levels[-1]
        assert output_moments(DDPM(), path, point) == pytest.approx((0.7 * end.alpha, end.sigma), rel=1e-9)


@pytest.mark.parametrize("scale", SCALES)
def test_the_bridge_keeps_the_marginal_of_a_point_whatever_the_noise(scale):
    """For the true x0 any u in [0, sigma_t] gives N(alpha_t x0, sigma_t^2) (DDIM, eq. 7)."""
    s, t, x0, eps = SCALES[scale](3.0), SCALES[scale](0.4), 1.3, 0.9
    x = torch.tensor([s.alpha * x0 + s.sigma * eps], dtype=torch.float64)
    for u in (0.0, 0.5 * t.sigma, ancestral_std(s, t), t.sigma):
        mean = bridge(x, torch.tensor([x0], dtype=torch.float64), s, t, u).item()
        assert mean == pytest.approx(t.alpha * x0 + (t.sigma**2 - u**2) ** 0.5 * eps, abs=1e-12)


def test_ancestral_deviation_is_ddpms_posterior_deviation():
    """beta-tilde = (1 - abar_t) / (1 - abar_s) * (1 - abar_s / abar_t) with t the cleaner one (DDPM, eq. 7)."""
    abar_s, abar_t = 0.3, 0.5
    s, t = Level(abar_s**0.5, (1 - abar_s) ** 0.5), Level(abar_t**0.5, (1 - abar_t) ** 0.5)
    assert ancestral_std(s, t) ** 2 == pytest.approx((1 - abar_t) / (1 - abar_s) * (1 - abar_s / abar_t), rel=1e-12)


def test_ancestral_deviation_from_pure_noise_replaces_all_noise():
    assert ancestral_std(PURE_NOISE, Level(0.6, 0.8)) == 0.8
    assert ancestral_std(PURE_NOISE, Level(0.6, 0.8), eta=0.5) == 0.4
    assert ancestral_std(PURE_NOISE, CLEAN) == 0.0


def test_a_step_from_pure_noise_is_alpha_x0_plus_sigma_x():
    x = torch.tensor([0.4, -1.0], dtype=torch.float64)
    expected = 0.6 * GAUSSIAN.mean + 0.8 * x
    for sampler in (Euler(), Heun(), DPMpp2M(), DPMpp2MSDE(eta=0.0), DDIM()):
        assert torch.allclose(sample(sampler, GAUSSIAN, x, [PURE_NOISE, Level(0.6, 0.8)]), expected, rtol=1e-15)


def test_scale_of_the_noise_does_what_it_says():
    """std^2 of the output grows by (s_noise^2 - 1) u^2 when only one step adds noise."""
    s, t = Level(1.0, 2.0), Level(1.0, 1.0)
    u = ancestral_std(s, t)
    for sampler in (EulerAncestral, DPMpp2MSDE):
        _, plain = output_moments(sampler(), Path([s, t]))
        _, louder = output_moments(sampler(s_noise=1.1), Path([s, t]))
        assert louder**2 - plain**2 == pytest.approx(0.21 * u**2, rel=1e-9)


def test_the_marginal_is_right_at_the_end_of_a_long_stochastic_run():
    """Without approximation: mean and deviation of what 320 steps return, within 1 % of the data's."""
    for sampler in (EulerAncestral(), DDIM(eta=0.5), DDPM(), DDPM(variance="large"), DPMpp2MSDE()):
        mean, std = output_moments(sampler, pure_noise_path("flow", 320, last=0.0))
        assert mean == pytest.approx(0.6, abs=0.006), sampler
        assert std == pytest.approx(0.5, abs=0.006), sampler

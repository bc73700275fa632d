"""The first samplers: the identities between them, and exactness where the data allow it."""

import math

import pytest
import torch
from walks import PATHS, run

from sigmabench.samplers import DDIM, DDPM, DPMpp2M, DPMpp2MSDE, Euler, EulerAncestral, Heun, Level, Path
from sigmabench.samplers.ancestral import _forward_std
from sigmabench.samplers.bridge import ancestral_std, bridge
from sigmabench.samplers.conformance.convergence import SCALES, OneHot, jagged_path, output_moments, pure_noise_path
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.run import sample
from sigmabench.samplers.testing import label


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


def driven(run, answer):
    """The end of a run whose questions have an answer of their own."""
    reply = None
    while True:
        try:
            x, s = run.send(reply)
        except StopIteration as stop:
            return stop.value
        reply = answer(x, s)


def exact_share(s, t, variance):
    """Where between beta-tilde and beta the variance of Gaussian data's own reverse step lies."""
    small, large = ancestral_std(s, t), _forward_std(s, t)
    keep = math.sqrt((t.sigma - small) * (t.sigma + small)) / s.sigma
    unsure = variance * s.sigma**2 / (s.alpha**2 * variance + s.sigma**2)  # Var[x0 | x]
    own = small**2 + (t.alpha - keep * s.alpha) ** 2 * unsure
    return math.log(own / small**2) / math.log(large**2 / small**2)


@pytest.mark.parametrize("scale", ["VP", "flow"])
def test_a_variance_that_is_learned_right_is_exact_in_any_number_of_steps(scale):
    """For Gaussian data the reverse step is Gaussian: with its own variance the marginals are exact."""
    for steps in (2, 5):
        path = jagged_path(scale, steps)
        moves = iter(path)
        assert DDPM(variance="learned").needs == ("variance",)
        assert DDPM().needs == ()
        draws = OneHot(rows=2 + steps)
        x = torch.zeros(draws.rows, 1, dtype=torch.float64)
        x[1] = 1.0

        def answer(x, s, moves=moves):
            share = exact_share(*next(moves), GAUSSIAN.variance)
            assert 0 < share < 1
            return x, GAUSSIAN(x, s), torch.full_like(x, share)

        end = driven(DDPM(variance="learned")(x, path, draws), answer)
        c, shifted, *b = end.squeeze(1).tolist()
        mean, variance = GAUSSIAN.moments(path.levels[0])
        exact_mean, exact_variance = GAUSSIAN.moments(path.levels[-1])
        assert c + (shifted - c) * mean == pytest.approx(exact_mean, rel=1e-12)
        assert (shifted - c) ** 2 * variance + sum((end - c) ** 2 for end in b) == pytest.approx(
            exact_variance, rel=1e-12
        )


def test_ddpm_with_a_learned_variance_equals_diffusers():
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(num_train_timesteps=6, beta_end=0.5, variance_type="learned_range", clip_sample=False)
    theirs.betas = theirs.betas.double()
    theirs.alphas = 1 - theirs.betas
    theirs.alphas_cumprod, theirs.one = theirs.alphas.cumprod(0), theirs.one.double()
    levels = [Level(math.sqrt(abar), math.sqrt(1 - abar)) for abar in theirs.alphas_cumprod.flip(0).tolist()]
    generator = torch.Generator().manual_seed(0)
    x = start = torch.randn(1, 3, 4, 4, generator=generator, dtype=torch.float64)
    state = generator.get_state()

    def network(x, level):
        return (x - level.alpha * BIMODAL(x, level)) / level.sigma, torch.tanh(3 * x)

    for t, level in zip(theirs.timesteps[:-1], levels, strict=False):
        x = theirs.step(torch.cat(network(x, level), dim=1), t, x, generator=generator).prev_sample
    generator.set_state(state)
    noise = lambda s, t: torch.randn(start.shape, generator=generator, dtype=torch.float64)  # noqa: E731
    end = driven(
        DDPM(variance="learned")(start, Path(levels), noise),
        lambda x, s: (x, BIMODAL(x, s), (network(x, s)[1] + 1) / 2),
    )
    assert torch.allclose(end, x, rtol=1e-10, atol=1e-10)

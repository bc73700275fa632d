"""Samplers of the reverse-time SDE: identities, exactness on polynomials, and k-diffusion's numbers."""

import math

import pytest
import torch
from walks import PATHS, run

from sigmabench.samplers import DPMpp2MSDE, DPMSolverM, EulerAncestral, Level, Path
from sigmabench.samplers.ancestral_second_order import DPM2Ancestral, DPMpp2SAncestral, RESMultistepAncestral
from sigmabench.samplers.conformance.convergence import (
    SCALES,
    jagged_path,
    moment_error,
    output_moments,
    pure_noise_path,
    slope,
)
from sigmabench.samplers.euler_maruyama import EulerMaruyama
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.run import sample
from sigmabench.samplers.sde_dpm_solver import SDEDPMSolver
from sigmabench.samplers.sde_multistep import DPMpp3MSDE
from sigmabench.samplers.sde_single_step import DPMppSDE, Seeds2, Seeds3
from sigmabench.samplers.testing import label

SAMPLERS = [
    DPM2Ancestral(),
    DPM2Ancestral(eta=0.5),
    DPMpp2SAncestral(),
    RESMultistepAncestral(),
    DPMppSDE(),
    DPMppSDE(eta=0.5, r=0.7),
    EulerMaruyama(),
    EulerMaruyama(eta=0.5),
    Seeds2(),
    Seeds2(eta=0.5, r=1.0, solver="phi_2"),
    Seeds3(),
    Seeds3(eta=0.0),
]


SAME = [
    (DPMpp2SAncestral(eta=0.0), Seeds2(eta=0.0)),
    (DPMppSDE(eta=0.0), Seeds2(eta=0.0)),
    (DPMppSDE(), Seeds2()),
    (DPMppSDE(r=0.8), Seeds2(r=0.8)),
    (RESMultistepAncestral(eta=0.0), DPMpp2MSDE(eta=0.0, solver="heun")),
]


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize(("one", "other"), SAME, ids=label)
def test_two_names_of_one_method_give_the_same_image(one, other, path):
    assert torch.allclose(run(one, path), run(other, path), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("sampler", [Seeds3(), DPM2Ancestral(eta=0.3), DPMppSDE(eta=0.3)], ids=label)
def test_the_distribution_is_second_order_at_small_steps(sampler, scale):
    steps = (80, 240)
    assert slope(steps, [moment_error(sampler, GAUSSIAN, jagged_path(scale, n)) for n in steps]) > 1.85


@pytest.mark.parametrize("scale", SCALES)
def test_noise_drawn_anew_for_the_stage_would_make_the_distribution_first_order(scale):
    """Why a stage's noise is part of the step's: with independent draws the covariance of the two is lost."""

    class Independent:
        order, stochastic, evaluations, needs = 1, True, 2, ()

        def __call__(self, x, path, noise):
            def forgetful(s, t):
                return noise(s, t)

            for s, t in path:
                half = Seeds2()(x, Path([s, t]), forgetful)
                request = half.send(None)
                x, x0 = yield request
                request = half.send((x, x0))
                _, x0_stage = yield request
                whole = EulerAncestral()(x, Path([s, t]), noise)
                whole.send(None)
                try:
                    whole.send((x, x0_stage))
                except StopIteration as stop:
                    x = stop.value
            return x

    steps = (20, 40, 80)
    errors = [moment_error(Independent(), GAUSSIAN, jagged_path(scale, n)) for n in steps]
    assert slope(steps, errors) < 1.3
    assert errors[-1] > 5 * moment_error(Seeds2(), GAUSSIAN, jagged_path(scale, 80))


def test_the_marginal_is_right_at_the_end_of_a_long_stochastic_run():
    """Mean and deviation of what 160 steps of a flow return, within 1 % of the data's, 4 % at first order."""
    for sampler in SAMPLERS:
        tolerance = 0.02 if sampler.order == 1 else 0.005
        mean, std = output_moments(sampler, pure_noise_path("flow", 160, last=0.0))
        assert mean == pytest.approx(0.6, abs=tolerance), sampler
        assert std == pytest.approx(0.5, abs=tolerance), sampler


def test_euler_maruyama_is_songs_reverse_diffusion():
    """x + (s^2 - t^2) score + sqrt(s^2 - t^2) z in variance exploding levels."""
    s, t, x = Level(1.0, 2.0), Level(1.0, 1.2), torch.tensor([[0.7]], dtype=torch.float64)
    gone = 4 - 1.44
    expected = x + gone * (GAUSSIAN(x, s) - x) / 4 + math.sqrt(gone) * 0.3
    assert torch.allclose(sample(EulerMaruyama(), GAUSSIAN, x, [s, t], lambda s, t: x * 0 + 0.3), expected, rtol=1e-14)


def test_scale_of_the_noise_does_what_it_says():
    s, t = Level(1.0, 2.0), Level(1.0, 1.0)
    for sampler in (DPM2Ancestral, DPMpp2SAncestral, RESMultistepAncestral):
        _, plain = output_moments(sampler(), Path([s, t]))
        _, louder = output_moments(sampler(s_noise=1.1), Path([s, t]))
        assert louder**2 - plain**2 == pytest.approx(0.21 * 0.75, rel=1e-9)


SIGMAS = {
    "to clean": [14.6, 7.0, 3.1, 1.9, 0.6, 0.2, 0.03, 0.0],
    "uneven, split": [20.0, 11.0, 10.0, 4.0, 0.9, 0.3],
}
SEEDS, SHAPE = (1, 2, 3), (4, 5)


def seeded():
    return SeededNoise(SEEDS, SHAPE, dtype=torch.float64)


class OfOneStage:
    """k-diffusion's noise sampler: the same draw for a step."""

    def __init__(self):
        self.draw = seeded()

    def __call__(self, s, t):
        return self.draw(s, t)


class OfTwoStages(OfOneStage):
    """For ``sample_dpmpp_sde``: noise from s to the stage, then of the whole step, as one random path has them."""

    stage = None

    def __call__(self, s, t):
        z = self.draw(s, t)
        if self.stage is None:
            self.stage = t.item(), z
            return z
        (m, first), self.stage = self.stage, None
        s, t = s.item(), t.item()
        kept = (t / m) ** 2 * m * math.sqrt(1 - (m / s) ** 2) * first
        return (kept + t * math.sqrt(1 - (t / m) ** 2) * z) / (t * math.sqrt(1 - (t / s) ** 2))


PAIRS = {
    "dpm_2_ancestral": (DPM2Ancestral(), OfOneStage, {}),
    "dpm_2_ancestral eta": (DPM2Ancestral(eta=0.6, s_noise=1.05), OfOneStage, {"eta": 0.6, "s_noise": 1.05}),
    "dpmpp_2s_ancestral": (DPMpp2SAncestral(), OfOneStage, {}),
    "dpmpp_2s_ancestral eta": (DPMpp2SAncestral(eta=0.6, s_noise=0.9), OfOneStage, {"eta": 0.6, "s_noise": 0.9}),
    "dpmpp_2s_ancestral loud": (DPMpp2SAncestral(eta=2.0), OfOneStage, {"eta": 2.0}),
    "dpmpp_3m_sde": (DPMpp3MSDE(compat=True), OfOneStage, {}),
    "dpmpp_3m_sde eta": (DPMpp3MSDE(eta=0.4, s_noise=0.9, compat=True), OfOneStage, {"eta": 0.4, "s_noise": 0.9}),
    "dpmpp_3m_sde ode": (DPMpp3MSDE(eta=0.0, compat=True), OfOneStage, {"eta": 0.0}),
    "dpmpp_sde": (DPMppSDE(), OfTwoStages, {}),
    "dpmpp_sde eta": (DPMppSDE(eta=0.6, s_noise=1.05, r=0.3), OfTwoStages, {"eta": 0.6, "s_noise": 1.05, "r": 0.3}),
}


def k_diffusions(sampling, name, sigmas, noise, problem=BIMODAL, **options):
    def model(x, sigma):
        return problem(x, [Level(1.0, value) for value in sigma.tolist()])

    x, levels = seeded().initial() * sigmas[0], torch.tensor(sigmas, dtype=torch.float64)
    if noise:
        options["noise_sampler"] = noise
    return getattr(sampling, f"sample_{name}")(model, x, levels, disable=True, **options)


def ours_at(sampler, sigmas, problem=BIMODAL):
    return sample(sampler, problem, seeded().initial() * sigmas[0], [Level(1.0, sigma) for sigma in sigmas], seeded())


@pytest.mark.parametrize("sigmas", SIGMAS.values(), ids=SIGMAS)
@pytest.mark.parametrize("pair", PAIRS)
def test_a_sampler_equals_k_diffusions(sampling, pair, sigmas):
    ours, noise, options = PAIRS[pair]
    expected = k_diffusions(sampling, pair.split()[0], sigmas, noise(), **options)
    assert torch.allclose(ours_at(ours, sigmas), expected, rtol=1e-10, atol=1e-10)


def parabola(x, level):
    """A model that answers a parabola in log(alpha/sigma), whatever x is."""
    levels = [level] if isinstance(level, Level) else level
    v = torch.tensor([each.half_logsnr for each in levels], dtype=torch.float64).view(-1, *[1] * (x.ndim - 1))
    return (0.3 - 0.7 * v + 0.4 * v * v).expand(x.shape)


def exact_for_the_parabola(end):
    """Where the fourth step of the ODE leads from where three steps lead, both by a path of 3000 steps."""
    sigmas = [3.0, 2.0, 1.5, 0.8, 0.3]
    start = end(sigmas[:4])
    fine = [0.8 * (0.3 / 0.8) ** (i / 3000) for i in range(3001)]
    expected = sample(DPMpp2MSDE(eta=0.0, solver="heun"), parabola, start, [Level(1.0, sigma) for sigma in fine])
    return torch.allclose(end(sigmas), expected, rtol=1e-6, atol=1e-6)


def test_dpmpp_3m_sde_is_exact_for_a_parabola():
    assert exact_for_the_parabola(lambda sigmas: ours_at(DPMpp3MSDE(eta=0.0), sigmas, parabola))


def test_dpm_2_ancestral_without_noise_equals_k_diffusions_dpm_2(sampling):
    for sigmas in SIGMAS.values():
        expected = k_diffusions(sampling, "dpm_2", sigmas, None)
        assert torch.allclose(ours_at(DPM2Ancestral(eta=0.0), sigmas), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_dpmpp_sde_equals_diffusers_dpm_solver_sde():
    """To the precision of their float32 table of sigmas."""
    from diffusers import DPMSolverSDEScheduler

    theirs = DPMSolverSDEScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    theirs.set_timesteps(12)
    sigmas = theirs.sigmas.tolist()
    levels = [Level(1.0, sigma) for sigma in (sigmas[0], *sigmas[1::2], 0.0)]
    levels = list(dict.fromkeys(levels))
    x, theirs.noise_sampler = seeded().initial() * levels[0].sigma, OfTwoStages()
    for t in theirs.timesteps:
        i = theirs.step_index or 0
        at = Level(1.0, sigmas[i]) if i % 2 == 0 else Level(1.0, theirs.mid_point_sigma.item())
        eps = (x - BIMODAL(x, at)) / at.sigma
        x = theirs.step(eps, t, x).prev_sample
    end = sample(DPMppSDE(), BIMODAL, seeded().initial() * levels[0].sigma, levels, seeded())
    assert torch.allclose(end, x.double(), rtol=1e-4, atol=1e-4)


SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.filterwarnings("ignore:`algorithm_type.*dpmsolver`:FutureWarning")
@pytest.mark.parametrize(("points", "solver"), [(1, "midpoint"), (2, "midpoint"), (2, "heun")])
def test_sde_dpm_solver_equals_diffusers(points, solver):
    from diffusers import DPMSolverMultistepScheduler

    options = {"algorithm_type": "sde-dpmsolver", "solver_type": solver, "final_sigmas_type": "sigma_min"}
    theirs = DPMSolverMultistepScheduler(**SD, **options, solver_order=points, timestep_spacing="trailing")
    theirs.set_timesteps(12)
    levels = [Level(1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)) for sigma in theirs.sigmas.tolist()][:-1]
    source = SeededNoise((1, 2), (3, 4), dtype=torch.float64)
    x = first = source.initial()
    for t, level in zip(theirs.timesteps, levels[:-1], strict=False):
        eps = (x - level.alpha * BIMODAL(x, level)) / level.sigma
        x = theirs.step(eps, t, x, variance_noise=source(level, level)).prev_sample
    noise = SeededNoise((1, 2), (3, 4), dtype=torch.float64)
    end = sample(SDEDPMSolver(points=points, solver=solver), BIMODAL, first, levels, noise)
    assert torch.allclose(end, x.double(), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_sde_dpm_solver_without_noise_is_dpm_solver(scale):
    path, x = jagged_path(scale, 7), torch.linspace(-2, 2, 9, dtype=torch.float64)
    end = sample(SDEDPMSolver(eta=0.0), BIMODAL, x, path)
    assert torch.allclose(end, sample(DPMSolverM(), BIMODAL, x, path), rtol=1e-12, atol=1e-12)

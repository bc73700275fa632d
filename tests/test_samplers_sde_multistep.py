"""Samplers of the reverse-time SDE with memory: identities, exactness on polynomials, diffusers' numbers."""

import math

import pytest
import torch
from scipy.integrate import quad
from walks import PATHS, run

from sigmabench.samplers import RES2S, DPMpp2MSDE, Euler, EulerAncestral, Level, Seeds2
from sigmabench.samplers.conformance.convergence import SCALES, jagged_path, moment_error, slope
from sigmabench.samplers.er_sde import ERSDE
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.reverse_sde import adams_weights, moments
from sigmabench.samplers.run import sample
from sigmabench.samplers.sa_solver import SASolver
from sigmabench.samplers.sde_multistep import DPMpp3MSDE
from sigmabench.samplers.testing import label

SAME = [
    (SASolver(predictor=1, corrector=0), EulerAncestral()),
    (SASolver(predictor=1, corrector=0, tau=0.0), Euler()),
    (SASolver(predictor=2, corrector=0, tau=0.7), DPMpp2MSDE(eta=0.49, solver="heun")),
    (SASolver(predictor=3, corrector=0), DPMpp3MSDE()),
    (SASolver(predictor=3, corrector=0, tau=0.0), DPMpp3MSDE(eta=0.0)),
    (SASolver(predictor=3, corrector=0, high=1e-9), DPMpp3MSDE(eta=0.0)),
    (SASolver(predictor=1, corrector=2, pece=True, tau=0.0), RES2S(c2=1.0)),
    (SASolver(predictor=1, corrector=2, pece=True, tau=0.7), Seeds2(eta=0.49, r=1.0, solver="phi_2")),
    (ERSDE(stages=1, scaler="sde"), EulerAncestral()),
    (ERSDE(stages=1, scaler="ode"), Euler()),
]


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize(("one", "other"), SAME, ids=label)
def test_two_names_of_one_method_give_the_same_image(one, other, path):
    assert torch.allclose(run(one, path), run(other, path), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("sampler", [DPMpp3MSDE(), ERSDE(scaler="sde"), SASolver(), SASolver(predictor=4)], ids=label)
def test_the_distribution_is_second_order_at_small_steps(sampler, scale):
    steps = (80, 240)
    assert slope(steps, [moment_error(sampler, GAUSSIAN, jagged_path(scale, n)) for n in steps]) > 1.8


@pytest.mark.parametrize("z", [1e-6, 0.03, 0.999, 1.001, 3.0, 40.0])
def test_weights_integrate_polynomials_through_their_nodes_exactly(z):
    def integral(function):
        return quad(lambda r: z * math.exp(-z * (1 - r)) * function(r), 0, 1, epsabs=1e-14, epsrel=1e-13)[0]

    for k, value in enumerate(moments(z, 4)):
        assert value == pytest.approx(integral(lambda r, k=k: r**k), rel=1e-10, abs=1e-13)
    for nodes in ([0.0], [0.0, -0.7], [1.0, 0.0, -0.7], [0.0, -0.7, -2.0, -2.6]):
        power = len(nodes) - 1
        answer = sum(w * node**power for w, node in zip(adams_weights(nodes, z), nodes, strict=True))
        assert answer == pytest.approx(integral(lambda r, power=power: r**power), rel=1e-9, abs=1e-12)


PARABOLA = (0.3, -0.7, 0.4)


def of(variable):
    """A model that answers a parabola in log(alpha/sigma) or in sigma/alpha, whatever x is."""

    def denoiser(x, level):
        v = getattr(level, variable)
        return torch.full_like(x, sum(c * v**i for i, c in enumerate(PARABOLA)))

    return denoiser


def silence(s, t):
    return torch.zeros(2, 3, dtype=torch.float64)


def last_step(sampler, scale, variable):
    """x before and after the fourth step on uneven levels, and the two levels."""
    levels = jagged_path(scale, 4, first=3.0, last=0.3).levels
    x = torch.ones(2, 3, dtype=torch.float64)
    before, after = (sample(sampler, of(variable), x, levels[:n], silence) for n in (4, 5))
    return before[0, 0].item(), after[0, 0].item(), levels[3], levels[4]


def exact_by_log_snr(x, s, t, eta):
    h = t.half_logsnr - s.half_logsnr
    z = (1 + eta) * h

    def part(r):
        v = s.half_logsnr + r * h
        return z * math.exp(-z * (1 - r)) * sum(c * v**i for i, c in enumerate(PARABOLA))

    return t.sigma / s.sigma * math.exp(-eta * h) * x + t.alpha * quad(part, 0, 1, epsrel=1e-13)[0]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_three_predictions_make_a_step_exact_for_a_parabola_in_log_snr(eta, scale):
    for sampler in (DPMpp3MSDE(eta=eta), SASolver(tau=eta**0.5), SASolver(tau=eta**0.5, corrector=0)):
        before, after, s, t = last_step(sampler, scale, "half_logsnr")
        assert after == pytest.approx(exact_by_log_snr(before, s, t, eta), rel=1e-11)
    before, after, s, t = last_step(DPMpp3MSDE(eta=eta, compat=True), scale, "half_logsnr")
    assert abs(after - exact_by_log_snr(before, s, t, eta)) > 1e-4


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("scaler", ["er", "sde", "ode"])
def test_three_predictions_make_a_step_exact_for_a_parabola_in_sigma(scaler, scale):
    before, after, s, t = last_step(ERSDE(scaler=scaler), scale, "ve_sigma")
    phi, slope_of_phi = {
        "er": (
            lambda k: k * (math.exp(k**0.3) + 10),
            lambda k: math.exp(k**0.3) + 10 + 0.3 * k**0.3 * math.exp(k**0.3),
        ),
        "sde": (lambda k: k * k, lambda k: 2 * k),
        "ode": (lambda k: k, lambda k: 1.0),
    }[scaler]
    k_s, k_t = s.ve_sigma, t.ve_sigma
    parabola = lambda k: sum(c * k**i for i, c in enumerate(PARABOLA))  # noqa: E731
    integral = quad(lambda k: slope_of_phi(k) / phi(k) ** 2 * parabola(k), k_t, k_s, epsrel=1e-13)[0]
    expected = t.alpha * (phi(k_t) / phi(k_s) * before / s.alpha + phi(k_t) * integral)
    assert after == pytest.approx(expected, rel=1e-11)


def test_er_sde_adds_the_noise_of_its_scaler():
    """u^2 = k_t^2 - k_s^2 (phi_t / phi_s)^2 at alpha = 1."""
    s, t = Level(1.0, 2.0), Level(1.0, 1.0)
    ones = torch.ones(1, 1, dtype=torch.float64)
    for scaler, share in (("sde", 0.5), ("ode", 1.0), ("er", (math.e + 10) / (math.exp(2**0.3) + 10))):
        loud, quiet = (sample(ERSDE(scaler=scaler), GAUSSIAN, ones, [s, t], lambda *_, z=z: ones * z) for z in (1, 0))
        assert (loud - quiet).item() == pytest.approx(math.sqrt(1 - share**2), abs=1e-12)


def test_er_sde_stands_levels_next_to_pure_noise():
    levels = [Level(1e-12, 1.0), Level(1e-10, 1.0), Level(1e-4, 1.0), Level(1.0, 0.1)]
    assert sample(ERSDE(), GAUSSIAN, silence(*levels[:2]) + 1, levels, silence).isfinite().all()


SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("tau", [0.0, 0.6, 1.0])
def test_sa_solver_equals_diffusers_sa_solver_at_first_order(tau):
    """At second order theirs changes a weight by O(h^3); float32 coefficients."""
    from diffusers import SASolverScheduler

    theirs = SASolverScheduler(**SD, predictor_order=1, corrector_order=1, tau_func=lambda t: tau)
    theirs.set_timesteps(12)
    levels = [Level(1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)) for sigma in theirs.sigmas.tolist()]
    x = first = SeededNoise((1, 2), (3, 4), dtype=torch.float64).initial()
    generator = torch.Generator().manual_seed(0)
    for t, level in zip(theirs.timesteps, levels, strict=False):
        eps = (x - level.alpha * BIMODAL(x, level)) / level.sigma
        x = theirs.step(eps, t, x, generator=generator).prev_sample
    again = torch.Generator().manual_seed(0)
    noise = lambda s, t: torch.randn(x.shape, generator=again, dtype=torch.float64)  # noqa: E731
    end = sample(SASolver(tau=tau, predictor=1, corrector=1), BIMODAL, first, levels, noise)
    assert torch.allclose(end, x.double(), rtol=1e-4, atol=1e-4)


def er_sde_of_its_authors(x, sigmas, draw):
    """Their loop for variance exploding levels, three stages, with its left Riemann sums."""

    def scaler(k):
        return k * (torch.exp(k**0.3) + 10)

    sigmas = torch.tensor(sigmas, dtype=torch.float64)
    before = slope_before = None
    for i in range(len(sigmas) - 1):
        s, t = sigmas[i], sigmas[i + 1]
        x0 = BIMODAL(x, Level(1.0, s.item()))
        r = scaler(t) / scaler(s)
        x = r * x + (1 - r) * x0
        if before is not None:
            places = t + torch.arange(200) * (s - t) / 200
            slope = (x0 - before) / (s - sigmas[i - 1])
            x = x + (t - s + (1 / scaler(places)).sum() * (s - t) / 200 * scaler(t)) * slope
            if slope_before is not None:
                second = (slope - slope_before) / ((s - sigmas[i - 2]) / 2)
                integral = ((places - s) / scaler(places)).sum() * (s - t) / 200
                x = x + ((t - s) ** 2 / 2 + integral * scaler(t)) * second
            slope_before = slope
        before = x0
        x = x + draw(s, t) * (t**2 - s**2 * r**2).sqrt()
    return x


def test_er_sde_with_compat_is_the_loop_of_its_authors():
    sigmas, seeds, shape = [9.0, 5.0, 4.0, 1.5, 1.0, 0.2], (1, 2), (3, 4)
    x = SeededNoise(seeds, shape, dtype=torch.float64).initial() * 9
    expected = er_sde_of_its_authors(x, sigmas, SeededNoise(seeds, shape, dtype=torch.float64))
    levels, noise = [Level(1.0, sigma) for sigma in sigmas], SeededNoise(seeds, shape, dtype=torch.float64)
    assert torch.allclose(sample(ERSDE(compat=True), BIMODAL, x, levels, noise), expected, rtol=1e-11, atol=1e-11)

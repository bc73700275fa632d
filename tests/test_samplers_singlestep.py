"""Single-step methods: order conditions of the tableaux, and equality with other implementations."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers import DPMSolverSinglestepScheduler, KDPM2DiscreteScheduler
from scipy.special import roots_jacobi

from sigmabench.samplers import (
    DPM2,
    RES2S,
    DPMAdaptive,
    DPMFast,
    DPMpp2S,
    DPMpp3S,
    DPMSolver3,
    Euler,
    ExponentialCollocation,
    ExponentialRungeKutta,
    ImplicitRungeKutta,
    Level,
    RungeKutta,
)
from sigmabench.samplers.conformance.convergence import SCALES, jagged_path, pure_noise_path, slope, trajectory_error
from sigmabench.samplers.conformance.trial import Watched
from sigmabench.samplers.exponential_tableaux import METHODS as EXPONENTIAL
from sigmabench.samplers.form import DATA, FLOW, LAWSON, NOISE, NOISE_LOG_SNR
from sigmabench.samplers.implicit_tableaux import METHODS as IMPLICIT
from sigmabench.samplers.level import CLEAN
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.phi import moment, phi
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.quadrature import gauss, lobatto, radau_left, radau_right
from sigmabench.samplers.run import sample
from sigmabench.samplers.runge_kutta_tableaux import METHODS

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`algorithm_types=dpmsolver`:FutureWarning"),
]

SAMPLERS = [
    DPM2(),
    DPM2(r=0.3),
    DPMSolver3(),
    DPMpp2S(),
    DPMpp2S(r=1.0),
    DPMpp3S(),
    RES2S(),
    RES2S(c2=1.0),
    *(ExponentialRungeKutta(method) for method in EXPONENTIAL),
    *(RungeKutta(method) for method in METHODS),
    RungeKutta(quantity="lawson"),
]


@pytest.mark.parametrize("z", [-300.0, -7.0, -2.0, -1.9, -1e-3, 0.0, 1e-9, 0.5, 1.999, 2.0, 6.0])
def test_phi_is_its_series(z):
    for k in (1, 2, 3, 4):
        if z < -20:
            expected = _phi_without_exponential(k, z)
        else:
            exact = Fraction(z)
            expected = float(sum(exact**n / math.factorial(n + k) for n in range(60)))
        assert phi(k, z) == pytest.approx(expected, rel=1e-13)


def _phi_without_exponential(k, z):
    """phi_k(z) = (e^z - sum_(i<k) z^i / i!) / z^k with e^z = 0."""
    exact = Fraction(z)
    return float(-sum(exact**i / math.factorial(i) for i in range(k)) / exact**k)


def test_moments_are_those_of_the_weight():
    tau = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    for z in (-3.0, 0.0, 1.5):
        weight = torch.exp((1 - tau) * z)
        for i in range(4):
            assert moment(i, z) == pytest.approx(((weight * tau**i).sum() / weight.sum()).item(), rel=1e-9)


def trees(order):
    """Rooted trees with that many nodes, as sorted tuples of subtrees: the order conditions of Runge-Kutta methods."""
    if order == 1:
        return [()]
    found = set()
    for sizes in _partitions(order - 1, order - 1):
        for children in itertools.product(*(trees(size) for size in sizes)):
            found.add(tuple(sorted(children)))
    return sorted(found)


def _partitions(total, largest):
    if not total:
        yield ()
    for first in range(min(total, largest), 0, -1):
        for rest in _partitions(total - first, first):
            yield (first, *rest)


def size(tree):
    return 1 + sum(map(size, tree))


def density(tree):
    return size(tree) * math.prod(map(density, tree))


def full_matrix(tableau):
    """a and b with their first columns, from shares of the step and weights that leave the first one out."""
    rows = [(), (), *tableau.rows(0.0)]
    shares = [0.0, *tableau.shares, 1.0]
    full = [[share * w for w in (1 - sum(row), *row)] for share, row in zip(shares, rows, strict=True)]
    stages = len(tableau.shares) + 1
    padded = [torch.tensor(row + [0.0] * (stages - len(row)), dtype=torch.float64) for row in full]
    return torch.stack(padded[:-1]), padded[-1]


def elementary_weight(a, tree):
    """Per stage: the product over the children of a @ their weights."""
    result = torch.ones(len(a), dtype=a.dtype)
    for child in tree:
        result = result * (a @ elementary_weight(a, child))
    return result


def residual(tableau, order):
    """Largest violation of Butcher's conditions b . Phi(tree) = 1 / density(tree) for trees of that order."""
    return violation(*full_matrix(tableau), order)


def violation(a, b, order):
    return max(abs((b @ elementary_weight(a, tree)).item() - 1 / density(tree)) for tree in trees(order))


def test_there_are_as_many_trees_as_butcher_counted():
    assert [len(trees(order)) for order in (1, 2, 3, 4, 5, 6)] == [1, 1, 2, 4, 9, 20]


@pytest.mark.parametrize("method", [*METHODS, *EXPONENTIAL])
def test_a_tableau_satisfies_all_conditions_of_its_order_and_not_of_the_next(method):
    """An exponential one in its limit z = 0, where it is a classical method."""
    order, tableau = {**METHODS, **EXPONENTIAL}[method]
    assert max(residual(tableau, i) for i in range(1, order + 1)) < 2e-14
    assert residual(tableau, order + 1) > 1e-6


def test_dormand_prince8_converges_with_order_8():
    """On a problem where no other error hides it, which is below 1e-10 from twelve steps on."""
    steps, sampler = (9, 13, 19), RungeKutta("dormand_prince8", quantity="flow")
    for scale in SCALES:
        errors = [trajectory_error(sampler, GAUSSIAN, jagged_path(scale, n)) for n in steps]
        assert slope(steps, errors, floor=0.0) == pytest.approx(8, abs=0.2)


EXACT_DEGREE = {
    "res_3s": 1,
    "etdrk3": 2,
    "etdrk4": 2,
    "krogstad": 2,
    "strehmel_weiner": 2,
    "friedli": 2,
    "cfree4": 0,
    "res_5s": 2,
    "res_6s": 2,
    "res_8s": 3,
    "res_10s": 3,
}


@pytest.mark.parametrize("name", IMPLICIT)
def test_an_implicit_tableau_satisfies_the_conditions_of_its_order(name):
    order, shares, (*a, b) = IMPLICIT[name]
    a, b = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    assert max(violation(a, b, i) for i in range(1, min(order, 6) + 1)) < 1e-13
    moments = [sum(w * c**i for w, c in zip(b.tolist(), shares, strict=True)) * (i + 1) for i in range(order + 1)]
    assert moments[:order] == pytest.approx([1.0] * order, rel=1e-13)
    assert order > 6 or violation(a, b, order + 1) > 1e-5


SIMPLIFYING = {
    "gauss_legendre": (2, 0, 0, 0),
    "radau_iia": (2, -1, 0, -1),
    "radau_ia": (2, -1, -1, 0),
    "lobatto_iiia": (2, -2, 0, -2),
    "lobatto_iiib": (2, -2, -2, 0),
    "lobatto_iiic": (2, -2, -1, -1),
    "lobatto_iiic_star": (2, -2, -1, -1),
    "lobatto_iiid": (2, -2, -1, -1),
}
"""Hairer and Wanner's B(2s + p), C(s + q), D(s + r): (2, p, q, r), from which Butcher 1964 has the order."""


@pytest.mark.parametrize("name", [name for name in IMPLICIT if name.rsplit("_", 1)[0] in SIMPLIFYING])
def test_the_simplifying_conditions_of_a_family(name):
    """sum b c^(k-1) = 1/k;  sum_j a_ij c_j^(k-1) = c_i^k / k;  sum_i b_i c_i^(k-1) a_ij = b_j (1 - c_j^k) / k."""
    family, stages = name.rsplit("_", 1)
    _, p, q, r = SIMPLIFYING[family]
    order, shares, matrix = IMPLICIT[name]
    *a, b = (torch.tensor(row, dtype=torch.float64) for row in matrix)
    a, c, s = torch.stack(a), torch.tensor(shares, dtype=torch.float64), int(stages)
    assert order == 2 * s + p
    for k in range(1, order + 1):
        assert abs((b @ c ** (k - 1)).item() - 1 / k) < 1e-13
    for k in range(1, s + q + 1):
        assert (a @ c ** (k - 1) - c**k / k).abs().max() < 1e-13
    for k in range(1, s + r + 1):
        assert ((b * c ** (k - 1)) @ a - b * (1 - c**k) / k).abs().max() < 1e-13


def test_published_tableaux():
    """Hairer, Wanner 1996, tables IV.5.3 to IV.5.13, and Jay 2015."""
    published = {
        "radau_ia_2": [[1 / 4, -1 / 4], [1 / 4, 5 / 12], [1 / 4, 3 / 4]],
        "radau_iia_2": [[5 / 12, -1 / 12], [3 / 4, 1 / 4], [3 / 4, 1 / 4]],
        "lobatto_iiia_3": [[0, 0, 0], [5 / 24, 1 / 3, -1 / 24], [1 / 6, 2 / 3, 1 / 6], [1 / 6, 2 / 3, 1 / 6]],
        "lobatto_iiib_3": [[1 / 6, -1 / 6, 0], [1 / 6, 1 / 3, 0], [1 / 6, 5 / 6, 0], [1 / 6, 2 / 3, 1 / 6]],
        "lobatto_iiic_2": [[1 / 2, -1 / 2], [1 / 2, 1 / 2], [1 / 2, 1 / 2]],
        "lobatto_iiic_3": [
            [1 / 6, -1 / 3, 1 / 6],
            [1 / 6, 5 / 12, -1 / 12],
            [1 / 6, 2 / 3, 1 / 6],
            [1 / 6, 2 / 3, 1 / 6],
        ],
        "lobatto_iiic_star_3": [[0, 0, 0], [1 / 4, 1 / 4, 0], [0, 1, 0], [1 / 6, 2 / 3, 1 / 6]],
        "lobatto_iiid_2": [[1 / 4, -1 / 4], [3 / 4, 1 / 4], [1 / 2, 1 / 2]],
        "lobatto_iiid_3": [
            [1 / 12, -1 / 6, 1 / 12],
            [5 / 24, 1 / 3, -1 / 24],
            [1 / 12, 5 / 6, 1 / 12],
            [1 / 6, 2 / 3, 1 / 6],
        ],
    }
    for name, rows in published.items():
        for row, expected in zip(IMPLICIT[name].matrix, rows, strict=True):
            assert row == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("count", [2, 3, 5, 7, 11])
def test_nodes_are_those_of_scipy_and_numpy(count):
    legendre = (np.polynomial.legendre.leggauss(count)[0] + 1) / 2
    assert gauss(count) == pytest.approx(legendre, abs=1e-15)
    interior = (roots_jacobi(count - 1, 1, 0)[0] + 1) / 2
    assert radau_right(count) == pytest.approx([*interior, 1.0], abs=1e-15)
    assert radau_left(count) == pytest.approx([0.0, *(1 - interior[::-1])], abs=1e-15)
    interior = (roots_jacobi(count - 2, 1, 1)[0] + 1) / 2 if count > 2 else []
    assert lobatto(count) == pytest.approx([0.0, *interior, 1.0], abs=1e-15)


@pytest.mark.parametrize("method", [*(name for name, method in IMPLICIT.items() if len(method.shares) < 4)])
@pytest.mark.parametrize("sweeps", [1, 2, 3])
def test_each_sweep_adds_an_order_up_to_the_methods(method, sweeps):
    sampler, steps = ImplicitRungeKutta(method, sweeps), (40, 80)
    errors = [trajectory_error(sampler, BIMODAL, jagged_path("flow", n)) for n in steps]
    assert sampler.order == min(sweeps + 1, IMPLICIT[method].order)
    assert slope(steps, errors) == pytest.approx(sampler.order, abs=0.35)


@pytest.mark.parametrize(("cls", "form"), [(ImplicitRungeKutta, NOISE), (ExponentialCollocation, DATA)])
@pytest.mark.parametrize(("method", "degree"), [("gauss_legendre_2", 1), ("radau_iia_3", 2), ("lobatto_iiia_4", 3)])
def test_one_long_collocation_step_is_exact_for_polynomials_through_its_nodes(cls, form, method, degree):
    s, t = Level(0.5, 2.0), Level(0.9, 0.4)
    begin, end = form.variable(s), form.variable(t)

    def denoiser(x, level):
        value = torch.full_like(x, ((form.variable(level) - begin) / (end - begin)) ** degree)
        return value if form is DATA else (x - level.sigma * value) / level.alpha

    x = torch.tensor([0.3, -1.2], dtype=torch.float64)
    exact = form.move(x, torch.full_like(x, moment(degree, form.exponent * (end - begin))), s, t)
    assert torch.allclose(sample(cls(method, sweeps=1), denoiser, x, [s, t]), exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("sampler", "form", "degree"),
    [
        (RES2S(), DATA, 1),
        (RES2S(c2=0.7), DATA, 1),
        *((ExponentialRungeKutta(method), DATA, degree) for method, degree in EXACT_DEGREE.items()),
        (DPMpp2S(), DATA, 0),
        (DPMpp3S(), DATA, 1),
        (DPMSolver3(), NOISE_LOG_SNR, 1),
        (DPM2(), NOISE_LOG_SNR, 0),
        *((RungeKutta(method), NOISE, METHODS[method].order - 1) for method in METHODS),
        (RungeKutta(quantity="flow"), FLOW, 3),
        (RungeKutta(quantity="lawson"), LAWSON, 3),
    ],
    ids=lambda value: None if hasattr(value, "move") else repr(value),
)
def test_one_long_step_is_exact_for_polynomials(sampler, form, degree):
    """x0 or eps given as a power of the method's own variable, whatever x: the integral is known."""
    s, t, power = Level(0.5, 2.0), Level(0.9, 0.4), degree
    start, end = form.variable(s), form.variable(t)

    def quantity(level):
        return ((form.variable(level) - start) / (end - start)) ** power

    def denoiser(x, level):
        value = torch.full_like(x, quantity(level))
        if form is DATA or form is LAWSON:
            return value * (level.sigma / level.alpha if form is LAWSON else 1.0)
        return (x - level.sigma * value) / (level.alpha + (level.sigma if form is FLOW else 0.0))

    x = torch.tensor([0.3, -1.2], dtype=torch.float64)
    exact = torch.full_like(x, moment(power, form.exponent * (end - start)))
    assert torch.allclose(sample(sampler, denoiser, x, [s, t]), form.move(x, exact, s, t), rtol=1e-12, atol=1e-13)


def test_dpm_2_is_the_midpoint_rule_with_a_geometric_middle():
    s, t = Level(1.0, 4.0), Level(1.0, 1.0)
    x = torch.tensor([3.0, -0.5], dtype=torch.float64)
    eps = (x - BIMODAL(x, s)) / 4
    middle = x - 2 * eps
    expected = x - 3 * (middle - BIMODAL(middle, Level(1.0, 2.0))) / 2
    assert torch.allclose(sample(DPM2(), BIMODAL, x, [s, t]), expected, rtol=1e-14)


@pytest.mark.parametrize("scale", SCALES)
def test_stages_stay_between_the_levels_of_the_path(scale):
    seen = []

    def watched(x, level):
        seen.append(level)
        return BIMODAL(x, level)

    path = jagged_path(scale, 5)
    for sampler in SAMPLERS:
        sample(sampler, watched, torch.zeros(2, dtype=torch.float64), path)
    first, last = path.levels[0], path.levels[-1]
    assert all(last.ve_sigma * (1 - 1e-12) <= level.ve_sigma <= first.ve_sigma * (1 + 1e-12) for level in seen)


SEEDS, SHAPE = (1, 2), (3, 4, 4)
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def start(scale=1.0):
    return SeededNoise(SEEDS, SHAPE, dtype=torch.float64).initial() * scale


def test_dpm_2_equals_diffusers_kdpm2():
    theirs = KDPM2DiscreteScheduler(**SD, timestep_spacing="trailing")
    theirs.set_timesteps(20)
    sigmas, inner = theirs.sigmas.tolist(), theirs.sigmas_interpol.tolist()  # all but the first twice, 0 at the end
    levels = [Level(1.0, sigma) for sigma in (sigmas[0], *sigmas[1:40:2])]
    x = start(levels[0].sigma)
    for i, t in enumerate(theirs.timesteps):
        level = Level(1.0, inner[i] if i % 2 else sigmas[i])
        theirs.scale_model_input(x, t)
        x = theirs.step((x - BIMODAL(x, level)) / level.sigma, t, x).prev_sample
    assert levels[-1] == CLEAN
    assert torch.allclose(sample(DPM2(), BIMODAL, start(levels[0].sigma), levels), x.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("evaluations", [1, 2, 6, 7, 8, 11])
def test_dpm_fast_equals_k_diffusions(sampling, evaluations):
    def model(x, sigma):
        return BIMODAL(x, [Level(1.0, value) for value in sigma.tolist()])

    expected = sampling.sample_dpm_fast(model, start(9.0), 0.1, 9.0, evaluations, disable=True)
    levels = jagged_path("VE", evaluations, first=9.0, last=0.1)
    end = sample(DPMFast(compat=True), BIMODAL, start(9.0), levels)
    assert torch.allclose(end, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pair", ["12", "23"])
@pytest.mark.parametrize("rtol", [0.05, 0.002])
def test_dpm_adaptive_equals_k_diffusions(sampling, pair, rtol):
    """Of one image; fewer evaluations, because a refused step is tried again from the same prediction."""

    def model(x, sigma):
        return BIMODAL(x, [Level(1.0, value) for value in sigma.tolist()])

    x, order = start(9.0)[:1], int(pair[-1])
    options = {"rtol": rtol, "atol": 0.001, "order": order, "return_info": True, "disable": True}
    expected, info = sampling.sample_dpm_adaptive(model, x, 0.1, 9.0, **options)
    counted = Watched(BIMODAL)
    end = sample(DPMAdaptive(pair, rtol, 0.001), counted, x, [Level(1.0, 9.0), Level(1.0, 3.0), Level(1.0, 0.1)])
    assert torch.allclose(end, expected, rtol=1e-4, atol=1e-4)
    assert len(counted.levels) == info["nfe"] - info["n_reject"]


def test_dpm_adaptive_steps_as_each_image_needs():
    """In a batch as alone, in lockstep; one run of a batch is refused."""
    path, x = jagged_path("flow", 4), start()
    together = sample(DPMAdaptive(), BIMODAL, x, path)
    alone = [sample(DPMAdaptive(), BIMODAL, image, path) for image in x.split(1)]
    assert torch.allclose(together, torch.cat(alone), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="got 2 images: start a run for each"):
        next(DPMAdaptive()(x, path, None))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 7])
def test_dpm_fast_asks_at_each_level_of_the_path_once(steps):
    path = pure_noise_path("flow", steps, last=0.0)
    model = Watched(BIMODAL)
    sample(DPMFast(), model, start(), path)
    assert model.levels == list(path.levels[:-1])


@pytest.mark.parametrize(("algorithm", "ours"), [("dpmsolver++", DPMpp2S()), ("dpmsolver", DPM2())])
def test_second_order_equals_diffusers_dpm_solver_singlestep(algorithm, ours):
    """On sigmas equally spaced in their logarithm every second one of theirs is our inner level."""
    end = "zero" if algorithm == "dpmsolver++" else "sigma_min"
    theirs = DPMSolverSinglestepScheduler(
        **SD, algorithm_type=algorithm, use_exponential_sigmas=True, solver_order=2, final_sigmas_type=end
    )
    theirs.set_timesteps(13)
    norms = [math.hypot(1, sigma) for sigma in theirs.sigmas.tolist()]
    levels = [Level(1 / norm, sigma / norm) for norm, sigma in zip(norms, theirs.sigmas.tolist(), strict=True)]
    x = start()
    for t, level in zip(theirs.timesteps[:12], levels, strict=False):
        x = theirs.step((x - level.alpha * BIMODAL(x, level)) / level.sigma, t, x).prev_sample
    assert torch.allclose(sample(ours, BIMODAL, start(), levels[:13:2]), x.double(), rtol=2e-5, atol=2e-5)


def test_a_flow_method_is_the_plain_one_on_the_flow_from_pure_noise():
    """dx/dt = v = (x - x0) / t with x = (1 - t) x0 + t eps: the classical method of any text book, from t = 1."""
    times, x = [1.0, 0.8, 0.5, 0.2], start()

    def v(x, t):
        return (x - BIMODAL(x, Level(1 - t, t))) / t

    expected = x
    for s, t in itertools.pairwise(times):
        h, middle = t - s, (s + t) / 2
        one = v(expected, s)
        two = v(expected + h / 2 * one, middle)
        three = v(expected + h / 2 * two, middle)
        expected = expected + h / 6 * (one + 2 * two + 2 * three + v(expected + h * three, t))
    end = sample(RungeKutta(quantity="flow"), BIMODAL, x, [Level(1 - t, t) for t in times])
    assert torch.allclose(end, expected, rtol=1e-12, atol=1e-12)


def test_infinite_and_clean_ends_take_eulers_step():
    x = start()
    for levels in ([Level(0.0, 1.0), Level(0.3, 0.7)], [Level(0.3, 0.7), CLEAN], [Level(0.0, 1.0), CLEAN]):
        expected = sample(Euler(), BIMODAL, x, levels)
        for sampler in SAMPLERS:
            assert torch.equal(sample(sampler, BIMODAL, x, levels), expected)

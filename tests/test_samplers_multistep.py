"""Multistep methods: exactness of their coefficients, identities, and equality with diffusers."""

import itertools
import math

import pytest
import torch
from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    IPNDMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from sigmabench.samplers import (
    AFS,
    DEIS,
    IPNDM,
    LMS,
    PNDM,
    RES2M,
    RES3M,
    ABNorsett4M,
    DPMpp2M,
    DPMpp3M,
    DPMSolverM,
    Euler,
    GradientEstimation,
    HeunPP2,
    Level,
    Path,
    UniPC,
)
from sigmabench.samplers.conformance.convergence import (
    SCALES,
    jagged_path,
    normal_quantiles,
    pure_noise_path,
    slope,
    trajectory_error,
)
from sigmabench.samplers.conformance.trial import Watched
from sigmabench.samplers.form import ANGLE, DATA, FLOW, LAWSON, NOISE, NOISE_LOG_SNR
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.linear_multistep import exact, interpolate
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.phi import moment
from sigmabench.samplers.problems import BIMODAL, Mixture
from sigmabench.samplers.run import sample
from sigmabench.samplers.testing import label

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`algorithm_type.*dpmsolver`:FutureWarning"),
]


@pytest.mark.parametrize("z", [0.0, -0.8, 1.3])
@pytest.mark.parametrize("nodes", [[0.0], [0.0, -0.6], [0.0, -2.0, -2.1], [0.0, -0.3, -1.9, -2.4]], ids=len)
def test_weights_integrate_polynomials_exactly(nodes, z):
    weights = exact(nodes, z)
    for degree in range(len(nodes)):
        total = sum(w * node**degree for w, node in zip(weights, nodes, strict=True))
        assert total == pytest.approx(moment(degree, z), rel=1e-12)


def test_equal_steps_give_the_coefficients_of_the_text_books():
    assert exact([0.0, -1.0], 0.0) == pytest.approx([3 / 2, -1 / 2], rel=1e-14)
    assert exact([0.0, -1.0, -2.0], 0.0) == pytest.approx([23 / 12, -16 / 12, 5 / 12], rel=1e-14)
    assert exact([0.0, -1, -2, -3], 0.0) == pytest.approx([55 / 24, -59 / 24, 37 / 24, -9 / 24], rel=1e-14)
    moulton = interpolate([1.0, 0.0, -1.0], [1, 1 / 2, 1 / 3])  # what an exact corrector tends to for short steps
    assert moulton == pytest.approx([5 / 12, 8 / 12, -1 / 12], rel=1e-14)


def x0_from(form, x, level, value):
    """The prediction that makes the form's quantity that value."""
    if form is DATA:
        return value
    if form is LAWSON:
        return value * (level.sigma / level.alpha)
    if form is ANGLE:
        return (level.alpha / level.norm * x - level.sigma * value) / level.norm
    return (x - level.sigma * value) / (level.alpha + (level.sigma if form is FLOW else 0.0))


def solved(form, s, t, x, power):
    """x at t when the quantity is variable**power along the whole path, by 20000 midpoints of the exact integral."""
    start, end = form.variable(s), form.variable(t)
    share = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    weight = torch.exp((1 - share) * form.exponent * (end - start))
    average = (weight * (start + share * (end - start)) ** power).sum() / weight.sum()
    return form.move(x, average * torch.ones_like(x), s, t)


@pytest.mark.parametrize(
    ("sampler", "form", "degree"),
    [
        *((LMS(points=points), NOISE, points - 1) for points in (1, 2, 3, 4)),
        (LMS(quantity="flow"), FLOW, 3),
        (LMS(quantity="lawson"), LAWSON, 3),
        (LMS(quantity="angle"), ANGLE, 3),
        (IPNDM(), NOISE, 3),
        *((DEIS(points=points), NOISE_LOG_SNR, points - 1) for points in (1, 2, 3, 4)),
        (RES2M(), DATA, 1),
        (RES3M(), DATA, 2),
        (ABNorsett4M(), DATA, 3),
        (DPMpp3M(), DATA, 2),
        (UniPC(points=3), DATA, 2),
    ],
    ids=lambda value: label(value) if hasattr(value, "needs") else "",
)
def test_a_step_with_full_history_is_exact_for_polynomials(sampler, form, degree):
    """The host puts x on the exact solution at each level, so that the last step alone is judged."""
    path = jagged_path("flow", 6, first=2.0, last=0.2)

    def answer(x, level):
        return x0_from(form, x, level, torch.full_like(x, form.variable(level) ** degree))

    truth = [torch.tensor([0.5, -1.0], dtype=torch.float64)]
    for s, t in path:
        truth.append(solved(form, s, t, truth[-1], degree))
    run = sampler(truth[0], path, None)
    run.send(None)
    for x, level in zip(truth[:5], path.levels[:5], strict=True):
        run.send((x, answer(x, level)))
    with pytest.raises(StopIteration) as stop:
        run.send((truth[5], answer(truth[5], path.levels[5])))
    assert torch.allclose(stop.value.value, truth[6], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("first", [PURE_NOISE, Level(1.0, 3.0)])
def test_one_step_of_v_over_its_angle_is_exact_for_normal_data(first):
    """E[x0 | x] = alpha x / n^2 and x_t = x_s n_t / n_s,    n^2 = alpha^2 + sigma^2."""
    x, last = torch.tensor([0.5, -1.0], dtype=torch.float64), Level(0.7, 0.2)
    end = sample(LMS(quantity="angle"), lambda x, level: level.alpha * x / level.norm**2, x, [first, last])
    assert torch.allclose(end, x * last.norm / first.norm, rtol=1e-14, atol=0)


PATHS = {
    "VE to clean": Path([*jagged_path("VE", 9).levels, CLEAN]),
    "VP": jagged_path("VP", 9),
    "flow": pure_noise_path("flow", 9, last=0.0),
}


def run(sampler, path):
    x = SeededNoise((1, 2, 3), (5,), dtype=torch.float64).initial()
    return sample(sampler, BIMODAL, x * path.levels[0].norm, path)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LMS(points=1), Euler()),
        (LMS(points=1, quantity="flow"), Euler()),
        (DEIS(points=1), Euler()),
        (GradientEstimation(gamma=1.0), Euler()),
        (IPNDM(), LMS()),
        (DPMSolverM(points=3), DEIS()),
        (DPMpp3M(), RES3M()),
        (DPMpp3M(start="runge_kutta"), RES3M(start="runge_kutta")),
    ],
    ids=label,
)
def test_two_names_of_one_method_give_the_same_image(one, other, path):
    assert torch.allclose(run(one, path), run(other, path), rtol=1e-12, atol=1e-12)


def test_ipndm_with_published_coefficients_is_lms_on_equal_steps():
    path = Path(Level(1.0, 3.0 - 0.25 * i) for i in range(9))
    assert torch.allclose(run(IPNDM(compat=True), path), run(LMS(), path), rtol=1e-12, atol=1e-12)
    uneven = jagged_path("VE", 9)
    assert not torch.allclose(run(IPNDM(compat=True), uneven), run(LMS(), uneven), rtol=1e-2)


def test_the_last_step_of_unipc_bh2_is_a_step_of_dpmpp_2m():
    """Two steps: the second one's predictor starts from the corrected x, with the same weight 1/2 of the slope."""
    s, m, t = jagged_path("VP", 2).levels
    x = normal_quantiles(6)
    x0_s = BIMODAL(x, s)
    predicted = sample(Euler(), BIMODAL, x, [s, m])
    x0_m = BIMODAL(predicted, m)
    ratio = m.sigma / s.sigma
    corrected = x * ratio + (x0_s + x0_m) / 2 * (m.alpha - s.alpha * ratio)
    run = DPMpp2M()(x, Path([s, m, t]), None)
    run.send(None)
    run.send((x, x0_s))
    with pytest.raises(StopIteration) as stop:
        run.send((corrected, x0_m))
    assert torch.allclose(sample(UniPC(), BIMODAL, x, [s, m, t]), stop.value.value, rtol=1e-13)


@pytest.mark.parametrize(("points", "extra"), [(1, 0), (2, 0), (3, 1), (4, 4)])
def test_a_start_costs_what_it_declares(points, extra):
    sampler = LMS(points=points, start="runge_kutta")
    assert sampler.start_evaluations == extra
    model = Watched(BIMODAL)
    sample(sampler, model, normal_quantiles(4), jagged_path("VP", 7))
    assert len(model.levels) == 7 + extra


@pytest.mark.parametrize("scale", SCALES)
def test_a_start_of_the_right_order_keeps_the_order_of_lms(scale):
    """What one Euler step costs at the start: more than thirty times the error at 320 steps."""
    steps = (160, 320)
    kept = [trajectory_error(LMS(start="runge_kutta"), BIMODAL, jagged_path(scale, n)) for n in steps]
    lost = [trajectory_error(LMS(), BIMODAL, jagged_path(scale, n)) for n in steps]
    assert slope(steps, kept) == pytest.approx(4.0, abs=0.1)
    assert slope(steps, lost) < 2.5
    assert lost[-1] > 30 * kept[-1]


def test_a_flow_method_keeps_its_order_from_pure_noise():
    """Where the variable of eps is infinite: there, all that comes after a first step of Euler's is second order."""
    steps, errors = (40, 80, 160), {}
    for quantity in ("flow", "eps"):
        sampler = LMS(start="runge_kutta", quantity=quantity)
        errors[quantity] = [trajectory_error(sampler, BIMODAL, pure_noise_path("flow", n, last=0.5)) for n in steps]
    assert slope(steps, errors["flow"]) == pytest.approx(4.0, abs=0.3)
    assert slope(steps, errors["eps"]) < 2.3
    assert errors["eps"][-1] > 300 * errors["flow"][-1]


SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def follow_theirs(theirs, steps, levels):
    """x after all steps but the last, which diffusers' schedulers treat each in their own way."""
    x = SeededNoise((1, 2), (3, 4, 4), dtype=torch.float64).initial() * levels[0].norm
    start = x
    for t, level in zip(theirs.timesteps[: steps - 1], levels, strict=False):
        x = theirs.step((x - level.alpha * BIMODAL(x, level)) / level.sigma, t, x).prev_sample
    return start, x.double()


def vp_levels(sigmas):
    return [Level(1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)) for sigma in sigmas.tolist()]


EPS = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
MULTISTEP = {
    **{
        f"unipc {points} {variant}": (
            UniPC(points=points, variant=variant),
            UniPCMultistepScheduler,
            {"solver_order": points, "solver_type": variant, "lower_order_final": False},
        )
        for points in (1, 2, 3)
        for variant in ("bh1", "bh2")
    },
    **{
        f"deis {points}": (DEIS(points=points), DEISMultistepScheduler, {"solver_order": points})
        for points in (1, 2, 3)
    },
    "dpm_solver_2m": (DPMSolverM(), DPMSolverMultistepScheduler, {**EPS, "solver_order": 2}),
    "dpm_solver_3m": (
        DPMSolverM(points=3, compat=True),
        DPMSolverMultistepScheduler,
        {**EPS, "solver_order": 3, "solver_type": "heun"},
    ),
    "dpmpp_3m": (DPMpp3M(compat=True), DPMSolverMultistepScheduler, {"solver_order": 3, "solver_type": "heun"}),
    "res_2m": (RES2M(), DPMSolverMultistepScheduler, {"solver_order": 2, "solver_type": "heun"}),
}


@pytest.mark.parametrize(("ours", "theirs", "options"), MULTISTEP.values(), ids=MULTISTEP)
def test_a_multistep_method_equals_diffusers(ours, theirs, options):
    scheduler = theirs(**SD, **options)
    scheduler.set_timesteps(20)
    levels = vp_levels(scheduler.sigmas)
    start, expected = follow_theirs(scheduler, 20, levels)
    assert torch.allclose(sample(ours, BIMODAL, start, levels[:20]), expected, rtol=2e-5, atol=2e-5)


def test_lms_equals_diffusers():
    scheduler = LMSDiscreteScheduler(**SD, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    levels = [Level(1.0, sigma) for sigma in scheduler.sigmas.tolist()]
    scheduler.is_scale_input_called = True
    start, expected = follow_theirs(scheduler, 20, levels)
    assert torch.allclose(sample(LMS(), BIMODAL, start, levels[:20]), expected, rtol=1e-5, atol=1e-5)


def test_deis_ends_with_the_models_answer():
    model = Watched(BIMODAL)
    end = sample(DEIS(), model, normal_quantiles(24) * 5, [*jagged_path("VE", 9, first=5.0).levels, CLEAN])
    assert torch.equal(end, model.answers[-1])


def test_ipndm_with_published_coefficients_equals_diffusers():
    """From its third level on: its first one is pure noise, which it takes for a level like others."""
    scheduler = IPNDMScheduler()
    scheduler.set_timesteps(20)
    levels = [Level(a, b) for a, b in zip(scheduler.alphas.tolist(), scheduler.betas.tolist(), strict=True)][2:-1]
    start = x = SeededNoise((1, 2), (3, 4, 4), dtype=torch.float64).initial()
    for t, level in zip(scheduler.timesteps[2:-1], levels, strict=False):
        eps = (x - level.alpha * BIMODAL(x, level)) / level.sigma
        x = scheduler.step((eps - level.sigma * x) / level.alpha, t, x).prev_sample
    assert torch.allclose(sample(IPNDM(compat=True), BIMODAL, start, levels), x.double(), rtol=1e-5, atol=1e-5)


def test_pndm_with_published_coefficients_equals_diffusers():
    """Where their step to t - 1000 // steps is one to the next timestep, and but for the last one."""
    scheduler = PNDMScheduler(**SD, skip_prk_steps=True)
    scheduler.set_timesteps(20)
    abar = scheduler.alphas_cumprod.double()
    times = scheduler.timesteps.tolist()
    levels = [Level(abar[t].sqrt().item(), (1 - abar[t]).sqrt().item()) for t in dict.fromkeys(times)]
    x = start = SeededNoise((1, 2), (3, 4, 4), dtype=torch.float64).initial()
    for t in times[:-1]:
        level = Level(abar[t].sqrt().item(), (1 - abar[t]).sqrt().item())
        x = scheduler.step((x - level.alpha * BIMODAL(x, level)) / level.sigma, t, x).prev_sample
    assert torch.allclose(sample(PNDM(compat=True), BIMODAL, start, levels), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("first", "declared"), [("heun", 3), ("runge_kutta", 4)])
def test_a_better_first_step_of_pndm_keeps_the_order(first, declared):
    sampler = PNDM(start=first)
    assert sampler.order == declared
    errors = [trajectory_error(sampler, BIMODAL, jagged_path("flow", n)) for n in (80, 160, 320)]
    assert slope((80, 160, 320), errors) > declared - 0.15
    assert errors[-1] < trajectory_error(LMS(), BIMODAL, jagged_path("flow", 320)) / 10


def heunpp2(x, sigmas):
    """The published formulas, written for variance exploding levels."""

    def slope_at(x, sigma):
        return (x - BIMODAL(x, Level(1.0, sigma))) / sigma

    for i, (s, t) in enumerate(itertools.pairwise(sigmas)):
        d = slope_at(x, s)
        if t != sigmas[-1]:
            x_2 = x + d * (t - s)
            d_2 = slope_at(x_2, t)
            u = sigmas[i + 2]
            if u == sigmas[-1]:
                w = t / (2 * sigmas[0])
                d = (1 - w) * d + w * d_2
            else:
                d_3 = slope_at(x_2 + d_2 * (u - t), u)
                w_2, w_3 = t / (3 * sigmas[0]), u / (3 * sigmas[0])
                d = (1 - w_2 - w_3) * d + w_2 * d_2 + w_3 * d_3
        x = x + d * (t - s)
    return x


@pytest.mark.parametrize("sigmas", [[9.0, 4.0, 3.0, 1.0, 0.2], [9.0, 4.0, 3.0, 1.0, 0.0], [9.0, 4.0, 1.0], [9.0, 1.0]])
def test_heunpp2_is_the_published_formula(sigmas):
    x = normal_quantiles(8) * 9
    end = sample(HeunPP2(), BIMODAL, x, [Level(1.0, sigma) for sigma in sigmas])
    assert torch.allclose(end, heunpp2(x, sigmas), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("sampler", [Euler(), LMS(start="runge_kutta"), UniPC()], ids=label)
def test_the_analytical_first_step_is_exact_for_unit_normal_data(sampler, path):
    unit, x = Mixture(), normal_quantiles(6) * path.levels[0].norm
    saving, plain = Watched(unit), Watched(unit)
    ends = sample(AFS(sampler), saving, x, path), sample(sampler, plain, x, path)
    assert torch.allclose(*ends, rtol=1e-12, atol=1e-12)
    assert len(saving.levels) == len(plain.levels) - 1

"""More forward processes: exact inverses, exact ends, the formulas of their papers and diffusers' numbers."""

import itertools
import math

import numpy as np
import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    ScoreSdeVeScheduler,
)
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.schedulers.scheduling_ddim import betas_for_alpha_bar
from hypothesis import given
from hypothesis import strategies as st

from sigmabench.plugins.diffusers.scheduler_config import read_scheduler
from sigmabench.plugins.registry import build, catalogue
from sigmabench.samplers import Level
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.schedules import (
    EDM,
    VE,
    VPSDE,
    CosmosRFlow,
    Decay,
    EDMDiscrete,
    Exp,
    Flow,
    FluxFlow,
    InterpolatedShiftedCosine,
    Laplace,
    Linear,
    ScaledLinear,
    Sigmoid,
    SigmoidBetas,
    SNRShift,
    TrainedBetas,
    TrainedSigmas,
    TrigFlow,
    ZeroTerminalSNR,
)
from sigmabench.samplers.spacings import Exponential, Karras, Linspace
from sigmabench.samplers.testing import label

SCHEDULES = [
    *(build("schedule", name) for name in catalogue("schedule")),
    Sigmoid(tau=0.1),
    Sigmoid(start=0.0, tau=0.5),
    SigmoidBetas(timesteps=40),
    Exp(rate=30.0),
    Laplace(mu=1.5, b=2.0),
    Laplace(b=0.1),
    VPSDE(beta_d=4.0, beta_min=1.0),
    VE(timesteps=50),
    EDM(rho=1.0),
    TrainedBetas((0.1, 0.3, 0.2, 0.9)),
    TrainedSigmas(process="ve"),
    TrainedSigmas((0.1, 0.2, 5.0, 80.0), process="flow"),
    SNRShift(Linear(), 0.3),
    SNRShift(Flow(shift=3.0), 1.7),
    SNRShift(VE(), 2.0),
    InterpolatedShiftedCosine(size=512, low=32, high=512),
    InterpolatedShiftedCosine(size=64, low=64, high=64),
    EDMDiscrete(ZeroTerminalSNR()),
    EDMDiscrete(Flow(shift=3.0)),
    CosmosRFlow(Linear()),
    ZeroTerminalSNR(SNRShift(ScaledLinear(), math.sqrt(3.0))),
]
TIMES = st.floats(1e-9, 1)
T = np.linspace(1e-6, 1 - 1e-6, 41)
each = pytest.mark.parametrize("schedule", SCHEDULES, ids=label)


def abar(schedule, t):
    return (lambda level: level.alpha**2 / level.norm**2)(schedule.level(t))


@each
@given(t=TIMES)
def test_time_is_the_inverse_of_level(schedule, t):
    assert schedule.time(schedule.level(t)) == pytest.approx(t, abs=1e-12)


@each
def test_time_is_the_inverse_of_level_on_the_grid_and_noise_grows(schedule):
    levels = [schedule.level(i / schedule.timesteps) for i in range(schedule.timesteps + 1)]
    for i, level in enumerate(levels):
        assert schedule.time(level) == pytest.approx(i / schedule.timesteps, abs=1e-12)
    assert all(noisy.noisier_than(clean) for clean, noisy in itertools.pairwise(levels))


@each
def test_both_ends_are_exact(schedule):
    assert schedule.level(0.0) == CLEAN
    assert schedule.time(CLEAN) == 0.0
    assert schedule.time(PURE_NOISE) == 1.0
    assert schedule.project(PURE_NOISE) == PURE_NOISE
    assert schedule.project(CLEAN) == CLEAN
    last = schedule.level(1.0)
    assert schedule.time(last) == pytest.approx(1.0, abs=1e-14)
    assert last.alpha > 1e-9 or last == PURE_NOISE


@each
@given(t=TIMES, step=st.floats(1e-6, 0.5))
def test_noise_grows_with_time_anywhere(schedule, t, step):
    assert schedule.level(t).noisier_than(schedule.level(max(0.0, t - step)))


@each
@given(t=TIMES, scale=st.floats(0.01, 100))
def test_time_and_project_do_not_depend_on_the_scale_of_a_level(schedule, t, scale):
    level = schedule.level(t)
    scaled = Level(level.alpha * scale, level.sigma * scale)
    assert schedule.time(scaled) == pytest.approx(t, abs=1e-12)
    assert schedule.project(scaled) == pytest.approx(level, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("start", "end", "tau"), [(-3.0, 3.0, 1.0), (0.0, 3.0, 0.7), (-3.0, 3.0, 0.3)])
def test_sigmoid_is_the_papers_curve_of_abar(start, end, tau):
    def f(t):
        return 1 / (1 + np.exp(-(start + (end - start) * t) / tau))

    schedule = Sigmoid(start, end, tau)
    expected = (f(1.0) - f(T)) / (f(1.0) - f(0.0))
    assert [abar(schedule, t) for t in T] == pytest.approx(expected, abs=1e-14)
    assert schedule.level(1.0) == PURE_NOISE


def test_sigmoid_betas_are_diffusers():
    theirs = DDPMScheduler(beta_schedule="sigmoid").betas
    assert torch.allclose(torch.tensor(SigmoidBetas().betas()), theirs, rtol=1e-5, atol=1e-9)
    assert SigmoidBetas().betas()[0] == pytest.approx(1e-4 + 0.0199 / (1 + math.exp(6)), rel=1e-14)


def test_exp_is_diffusers_table():
    schedule = Exp()
    assert [abar(schedule, t) for t in T] == pytest.approx(np.exp(-12 * T), rel=1e-12)
    theirs = torch.cumprod(1 - betas_for_alpha_bar(1000, alpha_transform_type="exp").double(), 0)
    ours = torch.tensor([abar(schedule, i / 1000) for i in range(1, 1001)], dtype=torch.float64)
    assert torch.allclose(ours, theirs, rtol=1e-4)  # theirs are float32 betas


@pytest.mark.parametrize(("mu", "b"), [(0.0, 0.5), (1.0, 2.0)])
def test_laplace_is_the_papers_curve_of_log_snr(mu, b):
    expected = mu - b * np.sign(0.5 - T) * np.log(1 - 2 * np.abs(T - 0.5))
    assert [2 * Laplace(mu, b).level(t).half_logsnr for t in T] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.xfail(
    raises=AssertionError, strict=True, reason="diffusers takes an amplitude for abar, and half of the logarithm"
)
def test_diffusers_laplace_is_the_papers():
    theirs = torch.cumprod(1 - betas_for_alpha_bar(1000, alpha_transform_type="laplace").double(), 0)
    ours = torch.tensor([abar(Laplace(), i / 1000) for i in range(1, 1001)], dtype=torch.float64)
    assert torch.allclose(ours[100:900], theirs[100:900], rtol=0.05)


def test_vp_sde_has_the_sigma_of_the_paper():
    sigma = np.sqrt(np.expm1(19.9 * T**2 / 2 + 0.1 * T))
    assert [VPSDE().level(t).ve_sigma for t in T] == pytest.approx(sigma, rel=1e-10)
    assert VPSDE().level(1.0).ve_sigma == pytest.approx(math.sqrt(math.exp(10.05) - 1), rel=1e-12)


def test_trigflow_is_cosine_and_sine_and_ends_exactly():
    for t in T:
        assert TrigFlow().level(t) == pytest.approx((np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)), abs=1e-15)
    assert TrigFlow().level(1.0) == PURE_NOISE
    assert TrigFlow().level(0.5).alpha == pytest.approx(math.sqrt(0.5), rel=1e-15)


def test_ve_is_geometric_as_in_diffusers_discrete_sigmas():
    theirs = ScoreSdeVeScheduler(sigma_min=0.01, sigma_max=50.0, num_train_timesteps=100)
    theirs.set_sigmas(100, 0.01, 50.0)
    ours = [VE(timesteps=100).level(i / 100).ve_sigma for i in range(1, 101)]
    assert ours == pytest.approx(theirs.discrete_sigmas.tolist(), rel=1e-5)
    assert ours == pytest.approx(np.geomspace(0.01, 50, 100), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 9, 40])
def test_linspace_on_edm_is_karras_and_on_ve_exponential(steps):
    for schedule, spacing in ((EDM(), Karras()), (VE(), Exponential())):
        ours = [level.ve_sigma for level in Linspace()(schedule, steps)]
        assert ours == pytest.approx([level.ve_sigma for level in spacing(schedule, steps)], rel=1e-10)


def test_trained_betas_and_sigmas_are_the_schedules_they_tabulate():
    betas, sigmas = ScaledLinear().betas(), [ScaledLinear().level(i / 1000).ve_sigma for i in range(1, 1001)]
    for schedule in (TrainedBetas(tuple(betas)), TrainedSigmas(tuple(sigmas))):
        assert schedule.timesteps == 1000
        for t in T:
            assert schedule.level(t) == pytest.approx(ScaledLinear().level(t), rel=1e-11)


def test_trained_sigmas_are_in_the_scale_asked_for():
    level = TrainedSigmas(process="flow").level(2 / 3)
    assert level == pytest.approx((0.5, 0.5), rel=1e-15)
    assert TrainedSigmas(process="ve").level(1.0) == pytest.approx((1.0, 14.6), rel=1e-12)


@pytest.mark.parametrize(
    "schedule",
    [TrainedBetas((0.1, 0.0)), TrainedBetas((0.1, 1.0)), TrainedSigmas((1.0, 1.0)), TrainedSigmas((0.0, 1.0))],
)
def test_a_table_that_does_not_grow_is_refused(schedule):
    with pytest.raises(ValueError, match=r"entry \d of the noise schedule .* must grow and be finite"):
        schedule.level(0.7)


@pytest.mark.parametrize("build", [lambda: Sigmoid(start=1.0, end=1.0), lambda: VE(2.0, 1.0), lambda: EDM(2.0, 1.0)])
def test_ends_in_the_wrong_order_are_refused(build):
    with pytest.raises(ValueError, match="must be below"):
        build().level(0.5)


@given(t=TIMES, factor=st.floats(0.01, 100))
def test_a_shift_multiplies_sigma_over_alpha(t, factor):
    shifted = SNRShift(ScaledLinear(), factor).level(t)
    assert shifted.ve_sigma == pytest.approx(factor * ScaledLinear().level(t).ve_sigma, rel=1e-12)
    assert SNRShift(Flow(), factor).level(t) == pytest.approx(Flow(shift=factor).level(t), rel=1e-12)


def test_shifts_multiply():
    twice, once = SNRShift(SNRShift(Linear(), 2.0), 3.0), SNRShift(Linear(), 6.0)
    assert [twice.level(t).ve_sigma for t in T] == pytest.approx([once.level(t).ve_sigma for t in T], rel=1e-12)


def test_resolution_shift_is_two_log_of_the_ratio_of_widths():
    """log SNR at 64 pixels plus 2 log(64 / 256)."""
    plain, shifted = ScaledLinear().level(0.4), SNRShift(ScaledLinear(), 256 / 64).level(0.4)
    assert 2 * shifted.half_logsnr == pytest.approx(2 * plain.half_logsnr + 2 * math.log(64 / 256), rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_the_snr_shift_scale_of_cogvideox_is_read_from_its_config(scale, zero_snr):
    theirs = CogVideoXDDIMScheduler(snr_shift_scale=scale, rescale_betas_zero_snr=zero_snr)
    ours = read_scheduler("CogVideoXDDIMScheduler", theirs.config).schedule
    table = torch.tensor([abar(ours, i / 1000) for i in range(1, 1001)], dtype=torch.float64)
    assert torch.allclose(table, theirs.alphas_cumprod.double(), rtol=1e-6, atol=1e-9)
    a = torch.cumprod(1 - torch.tensor(ScaledLinear().betas(), dtype=torch.float64), 0)
    if not zero_snr:
        assert torch.allclose(table, a / (scale + (1 - scale) * a), rtol=1e-12)


@pytest.mark.parametrize(("size", "low", "high"), [(256, 32, 256), (512, 32, 512), (128, 64, 64), (64, 64, 32)])
def test_the_interpolated_shifted_cosine_is_k_diffusions_without_clipping(size, low, high):
    """``rand_cosine_interpolated`` of k-diffusion, written out with its clipping at sigma = 1e-6 and 1e6 left in."""

    def shifted(t, width):
        shift = 2 * math.log(width / size)
        clean, noisy = (math.atan(math.exp(-0.5 * (logsnr - shift))) for logsnr in (27.6, -27.6))
        return -2 * np.log(np.tan(clean + t * (noisy - clean))) + shift

    expected = (1 - T) * shifted(T, low) + T * shifted(T, high)
    schedule = InterpolatedShiftedCosine(size=size, low=low, high=high)
    inner = slice(1, -1)
    ours = [2 * schedule.level(t).half_logsnr for t in T]
    assert ours[inner] == pytest.approx(expected[inner], abs=2e-4)
    if low == high:
        plain = SNRShift(TrigFlow(), size / low)
        assert [schedule.level(t) for t in T] == [pytest.approx(plain.level(t), rel=1e-12) for t in T]


def test_an_interpolation_whose_noise_would_fall_is_refused():
    with pytest.raises(ValueError, match=r"low = 32, high = 1024: must be less than 23.1 times apart"):
        InterpolatedShiftedCosine(size=1024, low=32, high=1024).level(0.5)


@pytest.mark.parametrize("t", T[::8])
def test_another_scale_keeps_the_ratio(t):
    for inner in (ScaledLinear(), Flow(shift=3.0), VE()):
        ratio = inner.level(t).ve_sigma
        assert EDMDiscrete(inner).level(t) == pytest.approx((1.0, ratio), rel=1e-12)
        assert CosmosRFlow(inner).level(t) == pytest.approx((1 / (1 + ratio), ratio / (1 + ratio)), rel=1e-12)


def test_cosmos_has_log_uniform_sigmas_from_0_002_to_80():
    levels = [CosmosRFlow().level(i / 1000) for i in range(1, 1001)]
    assert [level.ve_sigma for level in levels] == pytest.approx(np.geomspace(0.002, 80, 1000), rel=1e-9)
    assert [level.alpha + level.sigma for level in levels] == pytest.approx([1.0] * 1000, rel=1e-14)


def test_the_sigmoid_of_a_diffusers_config_is_the_one_of_betas():
    config = DDPMScheduler(beta_schedule="sigmoid").config
    assert read_scheduler("DDPMScheduler", config).schedule == SigmoidBetas(0.0001, 0.02, 1000)


@pytest.mark.parametrize("tokens", [256, 1024, 4096, 9000])
def test_flux_flow_is_diffusers_dynamic_shifting(tokens):
    mu = calculate_shift(tokens, 256, 4096, 0.5, 1.15)
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / 12, 12).tolist(), mu=mu)
    ours = [FluxFlow(tokens=tokens).level(1 - i / 12) for i in range(13)]
    assert [level.sigma for level in ours] == pytest.approx(theirs.sigmas.tolist(), abs=1e-6)
    for t in T:
        assert FluxFlow(tokens=tokens).level(t) == pytest.approx(Flow(shift=math.exp(mu)).level(t), rel=1e-12)
        level = FluxFlow(tokens=tokens).level(t)
        assert level.sigma == pytest.approx(math.exp(mu) / (math.exp(mu) + (1 / t - 1)), rel=1e-12)


def test_flux_flow_refuses_one_point():
    with pytest.raises(ValueError, match="two different points"):
        FluxFlow(base_tokens=4096).level(0.5)


@pytest.mark.parametrize(
    ("alias", "name"),
    [("v_continuous", "trigflow"), ("resolution_shift", "snr_shift"), ("table", "trained_betas"), ("ve_sde", "ve")],
)
def test_other_names_find_their_schedule(alias, name):
    assert build("schedule", alias) == build("schedule", name)


@pytest.mark.parametrize("gamma", [1e-3, 0.1, 0.9])
def test_decay_is_azulas_without_its_margins(gamma):
    t = np.linspace(0, 1, 11)
    u = (1 - gamma**t) / (1 - gamma)
    levels = [Decay(gamma).level(float(time)) for time in t]
    assert [level.sigma for level in levels] == pytest.approx(u, rel=1e-13, abs=1e-16)
    assert [level.alpha for level in levels] == pytest.approx(1 - u, rel=1e-12, abs=1e-15)
    assert [Decay(gamma).time(level) for level in levels] == pytest.approx(t, abs=1e-12)
    assert levels[-1] == (0.0, 1.0)

"""Forward processes: exact tables, exact inverses, exact ends."""

import itertools
import math

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_ddim import betas_for_alpha_bar, rescale_zero_terminal_snr
from hypothesis import given
from hypothesis import strategies as st

from sigmabench.samplers import Level
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.schedules import Cosine, Flow, Linear, ScaledLinear, ZeroTerminalSNR
from sigmabench.samplers.testing import label

SCHEDULES = [
    Linear(),
    Linear(beta_end=0.01, timesteps=50),
    ScaledLinear(),
    Cosine(),
    Cosine(s=0.0, timesteps=37),
    Flow(),
    Flow(shift=3.0),
    Flow(shift=0.1),
    Flow(shift=1.73),
    ZeroTerminalSNR(),
    ZeroTerminalSNR(Linear()),
    ZeroTerminalSNR(Cosine()),
    ZeroTerminalSNR(Flow(shift=3.0)),
]
TIMES = st.floats(1e-9, 1)

each = pytest.mark.parametrize("schedule", SCHEDULES, ids=label)


@each
@given(t=TIMES)
def test_time_is_the_inverse_of_level_between_grid_points_too(schedule, t):
    level = schedule.level(t)
    assert schedule.time(level) == pytest.approx(t, abs=1e-12)


@each
def test_time_is_the_inverse_of_level_on_the_whole_grid(schedule):
    for i in range(1, schedule.timesteps + 1):
        t = i / schedule.timesteps
        assert schedule.time(schedule.level(t)) == pytest.approx(t, abs=1e-12)


@each
def test_both_ends_are_exact(schedule):
    assert schedule.level(0.0) == CLEAN
    assert schedule.time(CLEAN) == 0.0
    assert schedule.time(schedule.level(1.0)) == 1.0
    assert schedule.time(PURE_NOISE) == 1.0


@each
def test_noise_grows_with_time_from_grid_point_to_grid_point(schedule):
    levels = [schedule.level(i / schedule.timesteps) for i in range(schedule.timesteps + 1)]
    for clean, noisy in itertools.pairwise(levels):
        assert noisy.noisier_than(clean)


@each
@given(t=TIMES, step=st.floats(1e-6, 0.5))
def test_noise_grows_with_time_anywhere(schedule, t, step):
    earlier = max(0.0, t - step)
    assert schedule.level(t).noisier_than(schedule.level(earlier))


@each
@given(t=TIMES)
def test_levels_are_finite_nonnegative_and_in_the_schedules_own_scale(schedule, t):
    level = schedule.level(t)
    assert level.alpha >= 0
    assert level.sigma >= 0
    flow = isinstance(getattr(schedule, "schedule", schedule), Flow)
    assert (level.alpha + level.sigma if flow else level.norm) == pytest.approx(1.0, rel=1e-14)


@each
@given(t=TIMES, scale=st.floats(0.01, 100))
def test_time_and_project_do_not_depend_on_the_scale_of_a_level(schedule, t, scale):
    level = schedule.level(t)
    scaled = Level(level.alpha * scale, level.sigma * scale)
    assert schedule.time(scaled) == pytest.approx(t, abs=1e-12)
    assert schedule.project(scaled) == pytest.approx(level, rel=1e-9, abs=1e-15)


@each
def test_a_level_noisier_than_the_last_is_at_time_one(schedule):
    assert schedule.time(Level(1e-9, 1.0)) == pytest.approx(1.0, abs=1e-7)


def test_equal_schedules_share_one_table():
    assert Linear().level(0.5) is Linear().level(0.5)
    assert Linear() == Linear(beta_start=1e-4)


@pytest.mark.parametrize(
    ("schedule", "name"), [(Linear(), "linear"), (ScaledLinear(), "scaled_linear"), (Cosine(), "squaredcos_cap_v2")]
)
def test_the_table_is_diffusers_in_float32(schedule, name):
    start, end = getattr(schedule, "beta_start", 0.0001), getattr(schedule, "beta_end", 0.02)
    theirs = DDIMScheduler(beta_schedule=name, beta_start=start, beta_end=end)
    betas = torch.tensor(schedule.betas())
    assert torch.allclose(betas, theirs.betas, rtol=1e-5, atol=1e-8)
    abar = torch.tensor([schedule.level(i / 1000).alpha ** 2 for i in range(1, 1001)])
    assert torch.allclose(abar, theirs.alphas_cumprod, rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", [Linear(), ScaledLinear(), Cosine()])
def test_the_table_is_the_product_of_the_betas_in_float64(schedule):
    abar = torch.cumprod(1 - torch.tensor(schedule.betas(), dtype=torch.float64), 0)
    for i in (1, 2, 500, 999, 1000):
        level = schedule.level(i / 1000)
        assert level.alpha**2 == pytest.approx(abar[i - 1].item(), rel=1e-12)
        assert level.sigma**2 == pytest.approx(1 - abar[i - 1].item(), rel=1e-12)


def test_betas_have_the_published_values():
    assert Linear().betas()[0] == 1e-4
    assert Linear().betas()[-1] == pytest.approx(0.02, rel=1e-15)
    assert Cosine().betas()[-1] == 0.999
    assert torch.allclose(torch.tensor(Cosine().betas()), betas_for_alpha_bar(1000), rtol=1e-5)
    assert ScaledLinear().level(1.0).ve_sigma == pytest.approx(14.6146, abs=1e-4)  # k-diffusion's sigma_max of SD 1.5
    assert ScaledLinear().level(1e-3).ve_sigma == pytest.approx(0.029168, abs=1e-6)  # and its sigma_min


def test_between_grid_points_log_sigma_is_linear_as_in_k_diffusion():
    schedule = ScaledLinear()
    low, high = (schedule.level(i / 1000).half_logsnr for i in (400, 401))
    assert schedule.level(0.40025).half_logsnr == pytest.approx(0.75 * low + 0.25 * high, rel=1e-12)


@given(t=TIMES, shift=st.floats(0.01, 100))
def test_the_shift_of_a_flow_multiplies_sigma_over_alpha(t, shift):
    plain, shifted = Flow().level(t), Flow(shift=shift).level(t)
    assert shifted.sigma * plain.alpha == pytest.approx(shift * plain.sigma * shifted.alpha, rel=1e-9, abs=1e-15)


@given(shift=st.floats(0.01, 100))
def test_a_flow_ends_at_pure_noise_exactly_whatever_the_shift(shift):
    assert Flow(shift=shift).level(1.0) == PURE_NOISE


@pytest.mark.parametrize(("schedule", "name"), [(ScaledLinear(), "scaled_linear"), (Linear(), "linear")])
def test_zero_terminal_snr_is_algorithm_1_as_in_diffusers(schedule, name):
    rescaled = ZeroTerminalSNR(schedule)
    betas = DDIMScheduler(beta_schedule=name, beta_start=schedule.beta_start, beta_end=schedule.beta_end).betas.double()
    theirs = torch.cumprod(1 - rescale_zero_terminal_snr(betas), 0)
    ours = torch.tensor([rescaled.level(i / 1000).alpha ** 2 for i in range(1, 1001)], dtype=torch.float64)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    by_hand = torch.cumprod(1 - torch.tensor(schedule.betas(), dtype=torch.float64), 0).sqrt()
    by_hand = (by_hand - by_hand[-1]) * by_hand[0] / (by_hand[0] - by_hand[-1])
    assert torch.allclose(ours, by_hand**2, rtol=1e-11, atol=1e-15)


def test_zero_terminal_snr_is_zero_exactly_and_leaves_the_first_level():
    for schedule in (ScaledLinear(), Linear(), Cosine()):
        rescaled = ZeroTerminalSNR(schedule)
        assert rescaled.level(1.0) == PURE_NOISE
        for t in (1e-4, 5e-4, 1e-3):
            assert rescaled.level(t) == schedule.level(t)
        assert rescaled.level(math.nextafter(1e-3, 1)).alpha == pytest.approx(schedule.level(1e-3).alpha, rel=1e-12)


def test_zero_terminal_snr_leaves_a_flow_alone():
    rescaled, flow = ZeroTerminalSNR(Flow(shift=3.0)), Flow(shift=3.0)
    for t in (0.0, 1e-3, 0.3, 1.0):
        assert rescaled.level(t) == flow.level(t)
        assert rescaled.project(Level(2.0, 1.0)) == flow.project(Level(2.0, 1.0))


def test_project_keeps_sigma_over_alpha_and_takes_the_scale_of_the_process():
    assert Flow().project(Level(1.0, 3.0)) == (0.25, 0.75)
    assert Linear().project(Level(3.0, 4.0)) == pytest.approx((0.6, 0.8), rel=1e-15)
    for schedule in SCHEDULES:
        assert schedule.project(PURE_NOISE) == PURE_NOISE
        assert schedule.project(CLEAN) == CLEAN

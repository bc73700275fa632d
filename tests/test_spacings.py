"""Spacings: steps + 1 levels, always; equal to the formulas of the papers and the peers."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler

from sigmabench.samplers import Path
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.schedules import Cosine, Flow, Linear, ScaledLinear, ZeroTerminalSNR
from sigmabench.samplers.spacings import Exponential, Karras, KarrasExponential, Leading, Linspace, Trailing
from sigmabench.samplers.testing import label

SCHEDULES = [
    Linear(),
    ScaledLinear(),
    Cosine(),
    Flow(),
    Flow(shift=3.0),
    Flow(shift=0.1),
    ZeroTerminalSNR(),
    ZeroTerminalSNR(Linear()),
]
COUNTS = [*range(1, 201), 999, 1000]


def spacings_for(schedule):
    if schedule.level(1.0).alpha:
        return [Trailing(), Leading(), Linspace(), Karras(), Karras(rho=3.0), Exponential()]
    return [Trailing(), Linspace(), Karras(sigma_max=80.0), Exponential(sigma_max=80.0)]


CASES = [(spacing, schedule) for schedule in SCHEDULES for spacing in spacings_for(schedule)]
each = pytest.mark.parametrize(("spacing", "schedule"), CASES, ids=label)


@each
def test_any_number_of_steps_gives_that_many_plus_one_levels_that_make_a_path(spacing, schedule):
    for steps in COUNTS:
        path = Path(spacing(schedule, steps))
        assert len(path) == steps
        assert path.levels[-1] == CLEAN


@each
def test_the_first_level_is_the_schedules_last_where_the_spacing_promises_it(spacing, schedule):
    for steps in COUNTS:
        first = spacing(schedule, steps)[0]
        if isinstance(spacing, Leading):
            assert not first.noisier_than(schedule.level(1.0))
        else:
            assert first == pytest.approx(schedule.level(1.0), rel=1e-12)
            assert (first == PURE_NOISE) == (schedule.level(1.0) == PURE_NOISE)


@each
def test_all_levels_are_levels_of_the_schedule_in_its_own_scale(spacing, schedule):
    for level in spacing(schedule, 17):
        assert level == pytest.approx(schedule.level(schedule.time(level)), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 10, 40])
@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_karras_is_equation_5(steps, rho):
    i, n, low, high = np.arange(steps), max(steps - 1, 1), 0.002, 80.0
    expected = (high ** (1 / rho) + i / n * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    levels = Karras(rho=rho, sigma_min=low, sigma_max=high)(ScaledLinear(), steps)
    assert [level.ve_sigma for level in levels[:-1]] == pytest.approx(expected, rel=1e-12)


def test_karras_and_exponential_are_k_diffusions_with_the_schedules_ends():
    """get_sigmas_karras and get_sigmas_exponential, written out; sigma_min and sigma_max of Stable Diffusion 1.5."""
    low, high = 0.0291675, 14.6146412
    ramp = torch.linspace(0, 1, 20, dtype=torch.float64)
    karras = (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7
    exponential = torch.linspace(math.log(high), math.log(low), 20, dtype=torch.float64).exp()
    for spacing, expected in ((Karras(), karras), (Exponential(), exponential)):
        sigmas = [level.ve_sigma for level in spacing(ScaledLinear(), 20)]
        assert sigmas == pytest.approx([*expected.tolist(), 0.0], rel=2e-5)


@pytest.mark.parametrize("steps", [2, 7, 20])
def test_karras_exponential_is_the_web_uis_blend_without_its_ends(steps):
    """Its progress runs over the steps + 1 sigmas of k-diffusion, the last of which it then cuts off."""
    low, high = 0.0291675, 14.6146412
    blend = 0.3 * (1 - torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    karras = (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7
    exponential = torch.linspace(math.log(high), math.log(low), steps, dtype=torch.float64).exp()
    expected = karras * (1 - blend[:-1]) + exponential * blend[:-1]
    levels = KarrasExponential(sigma_min=low, sigma_max=high)(ScaledLinear(), steps)
    assert [level.ve_sigma for level in levels] == pytest.approx([*expected.tolist(), 0.0], rel=1e-10)


def test_the_whole_range_is_used_whatever_the_number_of_steps():
    for steps in (2, 5, 50):
        for spacing in (Karras(), Exponential(), Linspace()):
            first, *_, last, _ = spacing(ScaledLinear(), steps)
            assert first.ve_sigma == pytest.approx(14.6146, abs=1e-4)
            assert last.ve_sigma == pytest.approx(0.029168, abs=1e-6)


DIVISORS = [1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1000]
PEERS = [("trailing", Trailing(), 0), ("leading", Leading(), 0), ("leading", Leading(offset=1), 1)]


@pytest.mark.parametrize(
    ("steps", "name", "spacing", "offset"),
    [(steps, *peer) for peer in PEERS for steps in DIVISORS if (steps, peer[2]) != (1000, 1)],
)
def test_trailing_and_leading_are_diffusers_timesteps_where_steps_divide_the_grid(steps, name, spacing, offset):
    """diffusers counts timesteps from 0: its t is our t * 1000 - 1."""
    theirs = DDIMScheduler(beta_schedule="scaled_linear", timestep_spacing=name, steps_offset=offset)
    theirs.set_timesteps(steps)
    schedule = ScaledLinear()
    times = [schedule.time(level) * 1000 - 1 for level in spacing(schedule, steps)[:-1]]
    assert times == pytest.approx(theirs.timesteps.tolist(), abs=1e-8)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("steps", [2, 10, 37, 250])
def test_linspace_is_diffusers_linspace(steps):
    theirs = EulerDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="linspace")
    theirs.set_timesteps(steps)
    schedule = ScaledLinear()
    times = [schedule.time(level) * 1000 - 1 for level in Linspace()(schedule, steps)[:-1]]
    assert times == pytest.approx(theirs.timesteps.tolist(), abs=2e-4)  # theirs are float32


def test_trailing_takes_equal_strides_of_time_even_where_they_do_not_divide_the_grid():
    times = [Flow(shift=3.0).time(level) for level in Trailing()(Flow(shift=3.0), 7)]
    assert times == pytest.approx([1 - i / 7 for i in range(8)], abs=1e-12)


@pytest.mark.parametrize("schedule", [ZeroTerminalSNR(), Flow()])
def test_leading_refuses_a_schedule_that_ends_in_pure_noise(schedule):
    with pytest.raises(ValueError, match=r"ends at alpha = 0 .* use trailing or linspace"):
        Leading()(schedule, 20)


def test_leading_refuses_what_lies_outside_the_grid():
    with pytest.raises(ValueError, match="steps = 1001: leading spacing has one step per trained timestep, 1 to 1000"):
        Leading()(Linear(), 1001)
    with pytest.raises(ValueError, match="offset = 1: beyond the last of 1000 timesteps for 1000 steps"):
        Leading(offset=1)(Linear(), 1000)


@pytest.mark.parametrize("spacing", [Karras(), Exponential()])
def test_spacings_in_sigma_ask_for_the_first_finite_sigma_where_the_schedule_has_none(spacing):
    for schedule in (ZeroTerminalSNR(), Flow()):
        with pytest.raises(ValueError, match="ends at alpha = 0, an infinite sigma/alpha: give sigma_max"):
            spacing(schedule, 10)


def test_after_pure_noise_the_sigmas_start_at_the_one_given():
    pure, first, *_ = Karras(sigma_max=80.0)(ZeroTerminalSNR(), 10)
    assert pure == PURE_NOISE
    assert first.ve_sigma == pytest.approx(80.0, rel=1e-12)
    assert Karras(sigma_max=80.0)(Flow(), 1) == [PURE_NOISE, CLEAN]


def test_ends_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="sigma_min = 3 must be below sigma_max = 2"):
        Karras(sigma_min=3.0, sigma_max=2.0)(Linear(), 5)


@pytest.mark.parametrize("steps", [0, -3])
@each
def test_less_than_one_step_is_refused(spacing, schedule, steps):
    with pytest.raises(ValueError, match="step"):
        Path(spacing(schedule, steps))

"""Spacings of papers and other programs: their numbers, from diffusers or written out again."""

import math

import numpy as np
import pytest
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    IPNDMScheduler,
    LCMScheduler,
    SCMScheduler,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

from sigmabench.plugins.registry import build
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.schedules import EDM, VE, VPSDE, Flow, ScaledLinear, TrigFlow, ZeroTerminalSNR
from sigmabench.samplers.spacings import (
    AYS,
    IDDPM,
    VP,
    Beta,
    BongTangent,
    Crash,
    Exponential,
    Flux2,
    Karras,
    Simple,
    Tabulated,
    Trailing,
)
from sigmabench.samplers.spacings.ays import SIGMAS

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

SD = ScaledLinear()
SD_CONFIG = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def sigmas(spacing, schedule, steps):
    return [level.ve_sigma for level in spacing(schedule, steps)]


@pytest.mark.parametrize("steps", [2, 10, 37])
@pytest.mark.parametrize(
    ("scheduler", "option", "spacing"),
    [
        (DPMSolverMultistepScheduler, "use_karras_sigmas", Karras()),
        (DPMSolverMultistepScheduler, "use_exponential_sigmas", Exponential()),
        (DPMSolverMultistepScheduler, "use_lu_lambdas", Exponential()),
        (UniPCMultistepScheduler, "use_karras_sigmas", Karras()),
        (UniPCMultistepScheduler, "use_exponential_sigmas", Exponential()),
    ],
)
def test_spacings_in_sigma_are_diffusers_where_it_takes_the_whole_range(scheduler, steps, option, spacing):
    theirs = scheduler(**SD_CONFIG, **{option: True})
    theirs.set_timesteps(steps)
    assert theirs.sigmas.tolist() == pytest.approx(sigmas(spacing, SD, steps), rel=2e-5)


@pytest.mark.parametrize("scheduler", [LCMScheduler, TCDScheduler])
@pytest.mark.parametrize("steps", [1, 2, 4, 7, 8, 50])
def test_simple_on_fifty_times_is_the_subset_of_distilled_models(scheduler, steps):
    theirs = scheduler(**SD_CONFIG)
    theirs.set_timesteps(steps)
    ours = [SD.time(level) * 1000 - 1 for level in Simple(grid=50)(SD, steps)[:-1]]
    assert ours == pytest.approx(theirs.timesteps.tolist(), abs=1e-8)


@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_trailing_on_trigflow_is_scm(steps):
    theirs = SCMScheduler()
    theirs.set_timesteps(steps, max_timesteps=math.pi / 2, intermediate_timesteps=None)
    ours = [math.atan2(level.sigma, level.alpha) for level in Trailing()(TrigFlow(), steps)]
    assert ours == pytest.approx(theirs.timesteps.tolist(), abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 10, 33])
def test_crash_is_diffusers_ipndm_where_the_schedule_ends_at_pure_noise(steps):
    theirs = IPNDMScheduler()
    theirs.set_timesteps(steps)
    levels = Crash()(ZeroTerminalSNR(), steps)
    assert [level.sigma for level in levels] == pytest.approx(theirs.betas.tolist(), abs=1e-6)
    assert [level.alpha for level in levels] == pytest.approx(theirs.alphas.tolist(), abs=1e-3)  # theirs cancel
    exact = np.sin(np.pi / 2 * np.linspace(1, 0, steps + 1)) ** 2
    assert [level.sigma for level in levels] == pytest.approx(exact, abs=1e-15)


def test_crash_starts_where_the_schedule_does():
    first, *_, last, end = Crash()(SD, 10)
    assert (first, end) == (SD.level(1.0), CLEAN)
    assert last.sigma == pytest.approx(first.sigma * math.sin(math.pi / 20) ** 2, rel=1e-12)


@pytest.mark.parametrize("steps", [2, 7, 18])
def test_iddpm_is_edms_table_before_it_is_rounded(steps):
    """u_j = sqrt((u_{j+1}^2 + 1) / max(abar_j / abar_{j+1}, C1) - 1), steps at equal strides of j; EDM, table 1."""
    m, c1, c2, low, high = 1000, 0.001, 0.008, 0.002, 80.0
    abar = np.sin(np.pi / 2 * np.arange(m + 1) / (m * (c2 + 1))) ** 2
    u = np.zeros(m + 1)
    for j in range(m, 0, -1):
        u[j - 1] = np.sqrt((u[j] ** 2 + 1) / max(abar[j - 1] / abar[j], c1) - 1)
    inside = u[(u >= low) & (u <= high)]
    ours = np.array(sigmas(IDDPM(sigma_max=inside[0], sigma_min=inside[-1]), EDM(), steps)[:-1])
    j = np.interp(-np.log(ours), -np.log(inside), np.arange(len(inside)))
    assert j == pytest.approx((len(inside) - 1) / (steps - 1) * np.arange(steps), abs=0.02)
    rounded = inside[np.floor((len(inside) - 1) / (steps - 1) * np.arange(steps) + 0.5).astype(int)]
    assert ours == pytest.approx(rounded, rel=0.05)
    whole = inside[:: (len(inside) - 1) // (steps - 1)] if (len(inside) - 1) % (steps - 1) == 0 else rounded[:1]
    assert ours[: len(whole)] == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(
    ("schedule", "spacing"), [(EDM(), Karras()), (VE(), Exponential()), (VPSDE(), VP())], ids=["edm", "ve", "vp_sde"]
)
def test_the_time_of_another_schedule_is_the_spacing_made_of_it(schedule, spacing):
    assert sigmas(IDDPM(schedule=schedule), SD, 12) == pytest.approx(sigmas(spacing, SD, 12), rel=1e-9)


def test_a_time_that_ends_too_soon_is_refused():
    with pytest.raises(ValueError, match=r"sigma_max = 80 lies beyond the 14.61 of the schedule .* use karras"):
        IDDPM(schedule=SD)(EDM(), 10)


@pytest.mark.parametrize("rho", [1.0, 2.0, 7.0])
def test_vp_with_rho_is_time_uniform(rho):
    """(1 + i / (n - 1) (eps^(1/rho) - 1))^rho, eps = 0.001, in the time of the VP SDE."""
    t = (1 + np.arange(12) / 11 * (1e-3 ** (1 / rho) - 1)) ** rho
    expected = np.sqrt(np.expm1(19.9 * t**2 / 2 + 0.1 * t))
    ours = sigmas(VP(rho=rho, sigma_max=expected[0], sigma_min=expected[-1]), SD, 12)
    assert ours[:-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tokens", [1024, 4096, 4300, 9216])
@pytest.mark.parametrize("steps", [1, 4, 28, 50])
def test_flux2_is_diffusers_empirical_shift(tokens, steps):
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    grid = np.linspace(1.0, 1 / steps, steps).tolist()
    theirs.set_timesteps(sigmas=grid, mu=compute_empirical_mu(tokens, steps))
    for schedule in (Flow(), Flow(shift=3.0)):
        ours = [level.sigma for level in Flux2(tokens=tokens)(schedule, steps)]
        assert ours == pytest.approx(theirs.sigmas.tolist(), abs=1e-6)


@pytest.mark.parametrize("steps", [2, 3, 10, 20, 31])
def test_bong_tangent_is_two_arcs_of_equal_slope(steps):
    n = steps + 2
    m = int(0.6 * n)
    slope = 0.2 / (n / 40)

    def arc(count, pivot, start, end):
        curve = 1 + 2 / np.pi * np.arctan(-slope * (np.arange(count) - pivot))
        return (curve - curve[-1]) / (curve[0] - curve[-1]) * (start - end) + end

    expected = np.concatenate([arc(m, m, 1.0, 0.5)[:-1], arc(n - m, 0, 0.5, 0.0)])
    ours = [level.sigma for level in BongTangent()(Flow(shift=3.0), steps)]
    assert ours == pytest.approx(expected, abs=1e-14)
    assert expected[m - 1] == 0.5


def test_bong_tangent_starts_at_the_noise_of_the_model():
    assert BongTangent()(SD, 20)[0] == SD.level(1.0)
    assert BongTangent()(Flow(), 20)[0] == PURE_NOISE
    share = [level.sigma / (level.alpha + level.sigma) for level in BongTangent()(SD, 20)]
    flow = [level.sigma for level in BongTangent()(Flow(), 20)]
    assert share == pytest.approx([share[0] * u for u in flow], rel=1e-12, abs=1e-15)


def test_a_table_at_its_own_number_of_steps_is_the_table():
    table = (14.0, 3.0, 1.0, 0.2)
    assert sigmas(Tabulated(table), SD, 4) == pytest.approx([*table, 0.0], rel=1e-12)
    assert sigmas(Tabulated(table), Flow(), 5) == pytest.approx([math.inf, *table, 0.0], rel=1e-12)
    assert Tabulated(table)(Flow(), 1) == [PURE_NOISE, CLEAN]


@pytest.mark.parametrize("steps", [1, 4, 10, 23])
def test_ays_is_its_table(steps):
    assert Tabulated(SIGMAS["sd15"])(SD, steps) == AYS()(SD, steps)
    assert Tabulated(SIGMAS["sd15"])(SD, steps)[0] == SD.level(1.0)  # 14.615 is rounded


@pytest.mark.parametrize("steps", [3, 9, 16])
def test_a_table_is_log_linear_between_its_entries_and_down_to_the_cleanest_level(steps):
    table, bottom = [10.0, 2.0, 0.5], SD.level(1e-3).ve_sigma
    expected = np.exp(np.interp(np.arange(steps) * 3 / steps, range(4), np.log([*table, bottom])))
    assert sigmas(Tabulated(tuple(table)), SD, steps)[:-1] == pytest.approx(expected, rel=1e-9)
    low = (10.0, 2.0, bottom)  # ends there already: both ends stay
    expected = np.exp(np.interp(np.arange(steps) * 2 / (steps - 1), range(3), np.log(low)))
    assert sigmas(Tabulated(low), SD, steps)[:-1] == pytest.approx(expected, rel=1e-9)


def test_between_pure_noise_and_the_first_entry_the_noise_share_is_linear():
    levels = Tabulated((3.0, 1.0))(Flow(), 12)
    bottom = Flow().level(1e-3).sigma
    assert bottom == pytest.approx(1e-3)
    assert [level.sigma for level in levels[:5]] == pytest.approx(np.linspace(1, 0.75, 5), rel=1e-12)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ((20.0, 1.0), "sigmas start at sigma/alpha = 20, noisier than the 14.61 .* use a table that was made for it"),
        ((1.0, 2.0), "sigmas must fall, but 2 follows 1 at entry 1"),
        ((1.0, 1.0), "must fall"),
        ((), "give numbers above 0"),
        ((1.0, 0.0), "give numbers above 0"),
        ((1.0, "a"), "give numbers above 0"),
    ],
)
def test_a_table_that_cannot_be_walked_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        Tabulated(table)(SD, 5)


def test_a_table_is_written_and_read_as_text():
    assert build("spacing", "tabulated(sigmas=(14.0, 3.0, 0.2))") == Tabulated((14.0, 3.0, 0.2))
    assert build("spacing", "lu_lambdas") == Exponential()
    assert build("spacing", "time_uniform") == VP()
    assert build("spacing", "beta(0.5, 0.7)") == Beta(alpha=0.5, beta=0.7)

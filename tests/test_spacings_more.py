"""Spacings of other programs and papers: their numbers, without the steps they drop and the NaNs at one step."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers import AysSchedules

from sigmabench.plugins.registry import build, catalogue
from sigmabench.samplers import Path
from sigmabench.samplers.level import CLEAN, PURE_NOISE, Level
from sigmabench.samplers.schedules import Cosine, Flow, Linear, ScaledLinear, ZeroTerminalSNR
from sigmabench.samplers.spacings import (
    AYS,
    LTXV,
    VP,
    Beta,
    DDIMUniform,
    Exponential,
    KLOptimal,
    Laplace,
    Leading,
    LinearQuadratic,
    Linspace,
    PolyExponential,
    SDTurbo,
    SGMUniform,
    Simple,
    Trailing,
)
from sigmabench.samplers.spacings.beta import beta_cdf, beta_quantile

SD = ScaledLinear()
SCHEDULES = [SD, Linear(), Cosine(), Flow(), Flow(shift=3.0), ZeroTerminalSNR(), ZeroTerminalSNR(Linear())]


def sigmas(spacing, schedule, steps):
    return [level.ve_sigma for level in spacing(schedule, steps)]


def times(spacing, schedule, steps):
    return [schedule.time(level) for level in spacing(schedule, steps)]


@pytest.mark.parametrize("name", catalogue("spacing"))
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_any_spacing_gives_the_steps_asked_for_or_says_what_to_do(name, schedule):
    spacing = build("spacing", name)
    for steps in (1, 2, 3, 5, 10, 20, 30, 60, 139, 1000):
        try:
            levels = spacing(schedule, steps)
        except ValueError as error:
            message = str(error)
        else:
            message = ""
        if message:
            assert "use " in message or "give sigma_max" in message or "for 1000 steps" in message
            continue
        assert len(Path(levels)) == steps
        assert levels[-1] == CLEAN
        top = schedule.level(1.0)
        assert levels[0].sigma * top.alpha <= top.sigma * levels[0].alpha * (1 + 1e-12)
        for level in levels:
            assert level == pytest.approx(schedule.project(level), rel=1e-12, abs=1e-15)


ZERO_SNR = [KLOptimal(), Laplace(), Beta(), LinearQuadratic(), SGMUniform(), Simple(), Linspace(), Trailing()]


@pytest.mark.parametrize("spacing", [*ZERO_SNR, PolyExponential(sigma_max=80.0), VP(sigma_max=80.0)], ids=repr)
@pytest.mark.parametrize("schedule", [Flow(shift=3.0), ZeroTerminalSNR()], ids=repr)
def test_a_schedule_that_ends_in_pure_noise_is_started_there_exactly(spacing, schedule):
    for steps in (1, 2, 20):
        first, second, *_ = spacing(schedule, steps)
        assert first == PURE_NOISE
        assert second.alpha > 0


@pytest.mark.parametrize("spacing", [PolyExponential(), VP()], ids=repr)
def test_spacings_in_sigma_ask_for_the_first_finite_sigma(spacing):
    with pytest.raises(ValueError, match="ends at alpha = 0, an infinite sigma/alpha: give sigma_max"):
        spacing(Flow(), 10)


@pytest.mark.parametrize("spacing", [PolyExponential, VP, KLOptimal, Laplace])
def test_ends_are_used_and_their_order_is_checked(spacing):
    first, *_, last, _ = sigmas(spacing(sigma_min=0.1, sigma_max=5.0), SD, 12)
    assert (first, last) == (pytest.approx(5.0, rel=1e-12), pytest.approx(0.1, rel=1e-12))
    with pytest.raises(ValueError, match="sigma_min = 3 must be below sigma_max = 2"):
        spacing(sigma_min=3.0, sigma_max=2.0)(SD, 5)


@pytest.mark.parametrize("rho", [0.5, 1.0, 2.0])
def test_polyexponential_is_k_diffusions(sampling, rho):
    theirs = sampling.get_sigmas_polyexponential(20, 0.03, 14.6, rho)
    ours = sigmas(PolyExponential(rho=rho, sigma_min=0.03, sigma_max=14.6), SD, 20)
    assert ours == pytest.approx(theirs.tolist(), rel=2e-5)
    ramp = np.linspace(1, 0, 20) ** rho
    expected = np.exp(ramp * (math.log(14.6) - math.log(0.03)) + math.log(0.03))
    assert ours[:-1] == pytest.approx(expected, rel=1e-12)


def test_polyexponential_with_rho_one_is_exponential():
    assert sigmas(PolyExponential(), SD, 15) == pytest.approx(sigmas(Exponential(), SD, 15), rel=1e-12)


def test_vp_is_k_diffusions_between_its_ends(sampling):
    t = np.linspace(1, 1e-3, 20)
    expected = np.sqrt(np.exp(19.9 * t**2 / 2 + 0.1 * t) - 1)
    ours = sigmas(VP(sigma_max=expected[0], sigma_min=expected[-1]), SD, 20)
    assert ours[:-1] == pytest.approx(expected, rel=1e-11)
    assert ours == pytest.approx(sampling.get_sigmas_vp(20).tolist(), rel=1e-3)  # theirs are float32 minus 1
    assert (expected[0], expected[-1]) == (pytest.approx(152.17, rel=1e-4), pytest.approx(0.01049, rel=1e-3))


@pytest.mark.parametrize("steps", [2, 7, 30])
def test_kl_optimal_is_the_tangent_of_equal_angles(steps):
    high, low = SD.level(1.0).ve_sigma, SD.level(1e-3).ve_sigma
    part = np.arange(steps) / (steps - 1)
    expected = np.tan((1 - part) * math.atan(high) + part * math.atan(low))
    assert sigmas(KLOptimal(), SD, steps)[:-1] == pytest.approx(expected, rel=1e-11)


def test_kl_optimal_at_one_step_is_a_step_and_not_a_nan():
    assert KLOptimal()(SD, 1) == [SD.level(1.0), CLEAN]


@pytest.mark.parametrize(("mu", "beta"), [(0.0, 0.5), (0.7, 0.3), (-1.0, 2.0)])
def test_laplace_takes_equal_quantiles_of_the_distribution_between_its_ends(mu, beta):
    law = scipy.stats.laplace(mu, beta)
    logs = np.log(sigmas(Laplace(mu=mu, beta=beta), SD, 25)[:-1])
    ends = law.cdf(math.log(SD.level(1.0).ve_sigma)), law.cdf(math.log(SD.level(1e-3).ve_sigma))
    assert logs == pytest.approx(law.ppf(np.linspace(*ends, 25)), abs=1e-9)


def test_laplace_is_the_papers_curve_of_log_snr_where_nothing_is_cut_off():
    """lambda = mu - b sgn(1/2 - t) log(1 - 2 |t - 1/2|), t the share of less noisy levels; b is 2 beta."""
    levels = Laplace(beta=0.5, sigma_min=1e-6)(ZeroTerminalSNR(), 101)
    for i, level in enumerate(levels[1:-2], start=1):
        t = 1 - i / 100
        expected = -math.copysign(1, 0.5 - t) * math.log(1 - 2 * abs(t - 0.5))
        assert 2 * level.half_logsnr == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("a", [0.3, 0.5, 0.6, 1.0, 2.5, 10.0])
@pytest.mark.parametrize("b", [0.3, 0.6, 0.7, 1.0, 7.0])
def test_the_beta_distribution_is_scipys(a, b):
    law = scipy.stats.beta(a, b)
    p = np.array([1e-4, 1e-3, 0.02, 0.2, 0.5, 0.77, 0.98, 0.999, 0.9999])
    assert [beta_quantile(q, a, b) for q in p] == pytest.approx(law.ppf(p), rel=1e-11, abs=1e-13)
    x = np.array([1e-9, 1e-3, 0.1, 0.4, 0.5, 0.9, 0.999])
    assert [beta_cdf(v, a, b) for v in x] == pytest.approx(law.cdf(x), rel=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.6), (0.5, 0.7), (2.0, 1.0)])
@pytest.mark.parametrize("steps", [1, 20, 139, 400])
def test_beta_takes_scipys_quantiles_of_time_and_drops_none(alpha, beta, steps):
    expected = scipy.stats.beta.ppf(1 - np.arange(steps) / steps, alpha, beta) * 999
    ours = [t * 1000 - 1 for t in times(Beta(alpha=alpha, beta=beta), SD, steps)[:-1]]
    assert ours == pytest.approx(expected, abs=1e-8)


def test_beta_has_the_papers_middle_of_the_range():
    assert sigmas(Beta(), SD, 20)[10] == pytest.approx(1.62, abs=0.01)


def test_linear_spacings_are_the_formulas_of_their_programs():
    n, high = 20, 1000
    assert times(SGMUniform(), SD, n)[:-1] == pytest.approx((np.linspace(999, 0, n + 1)[:-1] + 1) / high, abs=1e-12)
    assert times(build("spacing", "normal"), SD, n)[:-1] == pytest.approx(
        (np.linspace(999, 0, n) + 1) / high, abs=1e-12
    )
    lcm = (np.arange(1, 51) * 20 - 1)[::-1][np.floor(np.linspace(0, 50, 4, endpoint=False)).astype(int)]
    assert times(Simple(grid=50), SD, 4)[:-1] == pytest.approx((lcm + 1) / high, abs=1e-12)
    turbo = np.flip(np.arange(1, 11) * 100 - 1)[:4]
    assert times(SDTurbo(), SD, 4)[:-1] == pytest.approx((turbo + 1) / high, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 7, 20, 30, 60, 333, 1000])
def test_simple_counts_down_the_table_in_rounded_strides(steps):
    expected = [1000 - int(x * (1000 / steps)) for x in range(steps)]
    assert [round(t * 1000) for t in times(Simple(), SD, steps)[:-1]] == expected


@pytest.mark.parametrize("steps", [10, 20, 30, 60])
def test_ddim_uniform_is_latent_diffusions_but_as_many_as_asked_for(steps):
    expected = (np.arange(steps) * (1000 // steps) + 1)[::-1]
    assert [round(t * 1000) - 1 for t in times(DDIMUniform(), SD, steps)[:-1]] == expected.tolist()
    assert DDIMUniform()(SD, steps) == Leading(offset=1)(SD, steps)


@pytest.mark.parametrize(("steps", "linear"), [(10, None), (25, None), (50, 25), (64, 10)])
def test_linear_quadratic_is_the_polynomial_that_mochi_printed(steps, linear):
    n, threshold = linear or steps // 2, 0.025
    difference, rest = n - threshold * steps, steps - n
    quadratic, constant = difference / (n * rest**2), difference / rest**2 * n
    slope = threshold / n - 2 * difference / rest**2
    elapsed = [i * threshold / n for i in range(n)]
    elapsed += [quadratic * i**2 + slope * i + constant for i in range(n, steps)]
    levels = LinearQuadratic(linear_steps=linear)(Flow(), steps)
    assert [level.sigma for level in levels] == pytest.approx([*(1 - np.array(elapsed)), 0], abs=1e-12)


def test_linear_quadratic_refuses_what_would_turn_back():
    with pytest.raises(ValueError, match="linear_steps = 5: must be below steps = 5; use "):
        LinearQuadratic(linear_steps=5)(Flow(), 5)
    with pytest.raises(ValueError, match=r"threshold = 0.9 is too large for 1 of 30 steps; use "):
        LinearQuadratic(threshold=0.9, linear_steps=1)(Flow(), 30)


@pytest.mark.parametrize("steps", [2, 8, 30])
def test_ltxv_is_diffusers_shift_terminal(steps):
    theirs = FlowMatchEulerDiscreteScheduler(shift=1.0, shift_terminal=0.1)
    shift = math.exp(2.05)
    grid = np.linspace(1, 1 / steps, steps)
    theirs.set_timesteps(sigmas=(shift / (shift + (1 / grid - 1))).tolist())
    ours = [level.sigma for level in LTXV()(Flow(shift=shift), steps)]
    assert ours == pytest.approx(theirs.sigmas.tolist(), abs=1e-6)
    assert ours[-2] == pytest.approx(0.1, abs=1e-14)


def test_ltxv_at_one_step_is_one_step():
    assert LTXV()(Flow(), 1) == [PURE_NOISE, CLEAN]


KEYS = {"sd15": "StableDiffusionSigmas", "sdxl": "StableDiffusionXLSigmas"}


@pytest.mark.parametrize("model", KEYS)
def test_ays_is_the_published_table_as_in_diffusers(model):
    ours = sigmas(AYS(model=model), SD, 10)
    assert ours[1:] == pytest.approx(AysSchedules[KEYS[model]][1:], rel=1e-12)
    assert ours[0] == SD.level(1.0).ve_sigma == pytest.approx(14.615, abs=5e-4)


class Video:
    """The range of Stable Video Diffusion."""

    timesteps = 1000

    def level(self, t):
        return Level(1.0, 0.002 * 350_000 ** ((t - 1e-3) / (1 - 1e-3)))

    def project(self, level):
        return Level(1.0, level.sigma / level.alpha)


def test_ays_for_video_is_the_published_table():
    assert sigmas(AYS(model="svd"), Video(), 10) == pytest.approx(AysSchedules["StableDiffusionVideoSigmas"], rel=1e-12)


@pytest.mark.parametrize("steps", [1, 4, 15, 27])
def test_ays_is_log_linear_between_its_entries(steps):
    table = np.log([*AysSchedules["StableDiffusionSigmas"][:-1], SD.level(1e-3).ve_sigma])
    expected = np.exp(np.interp(np.linspace(0, 1, steps + 1), np.linspace(0, 1, 11), table))[:-1]
    assert sigmas(AYS(), SD, steps)[:-1] == pytest.approx(expected, rel=5e-5)
    assert all(a > b for a, b in pairwise(sigmas(AYS(), SD, steps)))


@pytest.mark.parametrize("schedule", [Flow(), Linear(), ZeroTerminalSNR()], ids=repr)
def test_ays_refuses_a_schedule_that_it_was_not_optimised_for(schedule):
    with pytest.raises(ValueError, match=r"the steps of sd15 go from sigma/alpha = 14.615 .* use another model's"):
        AYS()(schedule, 10)


@pytest.mark.parametrize(
    ("spacing", "steps", "message"),
    [
        (SDTurbo(), 11, "steps = 11: must be at most grid = 10"),
        (Simple(), 1001, "there are 1000 times to choose from; use trailing"),
        (Simple(grid=4), 5, "there are 4 times"),
        (LTXV(), 0, "steps = 0: must be at least 1"),
        (Beta(), 0, "steps = 0"),
        (AYS(), 0, "steps = 0"),
        (KLOptimal(), 0, "steps = 0"),
        (Laplace(), 0, "steps = 0"),
        (LinearQuadratic(), 0, "steps = 0"),
        (VP(), 0, "steps = 0"),
    ],
)
def test_impossible_numbers_of_steps_are_refused(spacing, steps, message):
    with pytest.raises(ValueError, match=message):
        spacing(SD, steps)


def test_names_of_other_programs_find_their_spacing():
    for alias, name in {"normal": "linspace", "uniform_logsnr": "exponential", "align_your_steps": "ays"}.items():
        assert build("spacing", alias) == build("spacing", name)

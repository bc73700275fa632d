"""Levels, paths, settings and seeded noise."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sigmabench.samplers import DDIM, DDPM, DPMpp2MSDE, EulerAncestral, Level, Path
from sigmabench.samplers.level import CLEAN, PURE_NOISE, between, variance_preserving
from sigmabench.samplers.noise import STEP_STREAM, SeededNoise, no_noise
from sigmabench.samplers.schedules import Flow, Linear
from sigmabench.samplers.spacings import Karras

SIGMAS = st.floats(1e-6, 1e6)


def test_a_level_knows_its_sigma_log_snr_and_norm():
    level = Level(0.6, 0.8)
    assert level.ve_sigma == pytest.approx(4 / 3, rel=1e-15)
    assert level.half_logsnr == pytest.approx(-math.log(4 / 3), rel=1e-15)
    assert level.norm == pytest.approx(1.0, rel=1e-15)


def test_the_ends_are_infinite_and_not_errors():
    assert (PURE_NOISE.ve_sigma, PURE_NOISE.half_logsnr, PURE_NOISE.norm) == (math.inf, -math.inf, 1.0)
    assert (CLEAN.ve_sigma, CLEAN.half_logsnr, CLEAN.norm) == (0.0, math.inf, 1.0)
    assert PURE_NOISE.noisier_than(CLEAN)
    assert not CLEAN.noisier_than(PURE_NOISE)
    assert not PURE_NOISE.noisier_than(Level(0.0, 3.0))


@given(SIGMAS)
def test_a_variance_preserving_level_has_norm_one_and_the_given_sigma(sigma):
    level = variance_preserving(sigma)
    assert level.norm == pytest.approx(1.0, rel=1e-15)
    assert level.ve_sigma == pytest.approx(sigma, rel=1e-15)


def test_variance_preserving_levels_reach_both_ends_exactly():
    assert variance_preserving(math.inf) == PURE_NOISE
    assert variance_preserving(0.0) == CLEAN


@given(SIGMAS, st.floats(1.01, 1e4), st.floats(0.01, 0.99))
def test_between_finds_the_log_snr_on_ve_vp_and_flow(sigma, ratio, share):
    high, low = sigma * ratio, sigma
    wanted = -math.log(high) + share * math.log(ratio)
    for make in (lambda k: Level(1.0, k), variance_preserving, lambda k: Level(1 / (1 + k), k / (1 + k))):
        found = between(make(high), make(low), wanted)
        assert found.half_logsnr == pytest.approx(wanted, abs=1e-9)


def test_between_stays_on_variance_exploding_and_flow_lines():
    ve = between(Level(1.0, 5.0), Level(1.0, 1.0), -math.log(3.0))
    assert ve == pytest.approx((1.0, 3.0), rel=1e-14)
    flow = between(Level(0.2, 0.8), Level(0.6, 0.4), 0.0)
    assert flow == pytest.approx((0.5, 0.5), rel=1e-14)


def test_between_works_from_pure_noise_and_to_clean():
    assert between(PURE_NOISE, Level(0.5, 0.5), -math.log(3.0)) == pytest.approx((0.25, 0.75), rel=1e-14)
    assert between(PURE_NOISE, CLEAN, 0.0) == pytest.approx((0.5, 0.5), rel=1e-14)


def test_a_path_gives_its_steps_in_order():
    path = Path([PURE_NOISE, (0.5, 0.5), CLEAN])
    assert len(path) == 2
    assert list(path) == [(PURE_NOISE, Level(0.5, 0.5)), (Level(0.5, 0.5), CLEAN)]
    assert repr(path) == "Path(2 steps from (0.0, 1.0) to (1.0, 0.0))"


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([CLEAN], "at least 2 levels .* got 1"),
        ([], "at least 2 levels .* got 0"),
        ([(1, 2), (1, -1)], r"level 1 is \(1.0, -1.0\); alpha and sigma must be finite, >= 0"),
        ([(1, math.nan), (1, 0)], "level 0 is .*nan.* must be finite"),
        ([(1, math.inf), (1, 0)], "level 0 is .*inf.* must be finite"),
        ([(1, 1), (0, 0)], r"level 1 is \(0.0, 0.0\).* not both 0"),
        ([(1, 2), (1, 1), (1, 1), (1, 0)], r"step 1 goes from \(1.0, 1.0\) to \(1.0, 1.0\), which does not reduce"),
        ([(1, 2), (1, 3)], "step 0 goes .* from noisy to clean without repeats"),
        ([PURE_NOISE, (0, 2)], "step 0 goes"),
        ([CLEAN, PURE_NOISE], "step 0 goes"),
    ],
)
def test_a_path_that_cannot_be_walked_is_refused_with_the_place(levels, message):
    with pytest.raises(ValueError, match=message):
        Path(levels)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DDIM(eta=1.5), ValueError, r"DDIM.eta = 1.5: must satisfy 0 <= eta <= 1"),
        (lambda: DDIM(eta=-0.1), ValueError, r"DDIM.eta = -0.1: must satisfy 0 <= eta <= 1"),
        (lambda: DDIM(eta=math.nan), ValueError, r"DDIM.eta = nan"),
        (lambda: DDIM(eta="1"), TypeError, r"DDIM.eta = '1': must be a number"),
        (lambda: DDIM(eta=True), TypeError, r"DDIM.eta = True: must be a number"),
        (
            lambda: EulerAncestral(s_noise=-1.0),
            ValueError,
            r"s_noise = -1.0: must satisfy 0 <= s_noise$",
        ),
        (lambda: DDPM(variance="medium"), ValueError, r"DDPM.variance = 'medium': must be one of 'small', 'large'"),
        (lambda: DPMpp2MSDE(solver=1), ValueError, r"DPMpp2MSDE.solver = 1: must be one of 'midpoint', 'heun'"),
        (lambda: Linear(timesteps=1), ValueError, r"Linear.timesteps = 1: must satisfy 2 <= timesteps <= 100000"),
        (lambda: Linear(timesteps=10.0), TypeError, r"Linear.timesteps = 10.0: must be an integer"),
        (lambda: Flow(shift=0.0), ValueError, r"Flow.shift = 0.0: must satisfy 0.01 <= shift <= 100"),
        (lambda: Karras(sigma_max="big"), TypeError, r"Karras.sigma_max = 'big': must be a number"),
        (lambda: Karras(sigma_min=0.0), ValueError, r"Karras.sigma_min = 0.0: must satisfy"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_value_and_the_legal_ones(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_settings_are_frozen_comparable_and_usable_as_keys():
    with pytest.raises(AttributeError):
        DDIM().eta = 1.0
    assert {DDIM(eta=1): "one"}[DDIM(eta=1.0)] == "one"
    assert DDIM() != DDIM(eta=0.5)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3))
def test_initial_noise_is_torchs_own_for_the_seed(seeds):
    noise = SeededNoise(seeds, (2, 5)).initial()
    for row, seed in zip(noise, seeds, strict=True):
        assert torch.equal(row, torch.randn(2, 5, generator=torch.Generator().manual_seed(seed)))


def test_noise_of_the_steps_is_a_second_stream_of_the_same_seed():
    noise = SeededNoise([7], (1000,))
    initial, first, second = noise.initial(), noise(PURE_NOISE, CLEAN), noise(PURE_NOISE, CLEAN)
    expected = torch.Generator().manual_seed((7 + STEP_STREAM) % 2**32)
    assert torch.equal(first[0], torch.randn(1000, generator=expected))
    for one, other in ((initial, first), (initial, second), (first, second)):
        correlation = (one * other).mean().item()
        assert abs(correlation) < 5 / math.sqrt(1000)


def test_asking_for_the_initial_noise_does_not_disturb_the_steps():
    one, other = SeededNoise([3, 4], (6,)), SeededNoise([3, 4], (6,))
    one.initial()
    first = one(PURE_NOISE, CLEAN)
    one.initial()
    assert torch.equal(first, other(PURE_NOISE, CLEAN))
    assert torch.equal(one(PURE_NOISE, CLEAN), other(PURE_NOISE, CLEAN))


def test_noise_of_an_image_does_not_depend_on_its_neighbours():
    batch = SeededNoise([9, 1, 5], (2, 3))
    alone = SeededNoise([1], (2, 3))
    assert torch.equal(batch.initial()[1:2], alone.initial())
    assert torch.equal(batch(PURE_NOISE, CLEAN)[1:2], alone(PURE_NOISE, CLEAN))


def test_noise_is_drawn_in_float32_and_then_converted():
    single, double = SeededNoise([2], (4,)), SeededNoise([2], (4,), dtype=torch.float64)
    assert torch.equal(single.initial().double(), double.initial())
    assert SeededNoise([], (4,)).initial().shape == (0, 4)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63])
def test_a_seed_that_torch_would_cut_is_refused(seed):
    with pytest.raises(ValueError, match=rf"seed {seed} is outside 0 <= seed < 2\^32"):
        SeededNoise([0, seed], (1,))


def test_a_stochastic_sampler_without_noise_says_what_to_pass():
    with pytest.raises(RuntimeError, match="pass noise=SeededNoise"):
        no_noise(PURE_NOISE, CLEAN)

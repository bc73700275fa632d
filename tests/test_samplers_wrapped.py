"""Samplers around samplers that add noise: churn, restart and predictor-corrector; EDM's numbers from k-diffusion."""

import math

import pytest
import torch
from walks import PATHS, run

from sigmabench.plugins.registry import build, describe
from sigmabench.samplers import DPM2, DPMpp2M, Euler, EulerAncestral, Heun, Level
from sigmabench.samplers.cfg_pp import CFGpp
from sigmabench.samplers.churn import Churn
from sigmabench.samplers.conformance.convergence import SCALES, jagged_path, output_moments, pure_noise_path
from sigmabench.samplers.conformance.trial import Watched
from sigmabench.samplers.forward import diffuse, forward_std, raised
from sigmabench.samplers.langevin import PredictorCorrector
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.restart import Restart
from sigmabench.samplers.run import sample
from sigmabench.samplers.testing import label

SAMPLERS = [
    Churn(),
    Churn(sampler=Euler()),
    Churn(sampler=DPMpp2M()),
    Churn(s_tmin=0.3, s_tmax=2.0),
    Churn(compat=True),
    Restart(),
    Restart(sampler=Euler(), repeats=2),
    PredictorCorrector(),
]


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Churn(sampler=DPMpp2M(), s_churn=0.0), DPMpp2M()),
        (Churn(sampler=DPMpp2M(), s_tmin=1e9, s_tmax=1e9), DPMpp2M()),
        (Restart(repeats=0), Heun()),
        (Restart(sampler=DPMpp2M(), low=2.0, high=0.1), DPMpp2M()),
        (PredictorCorrector(corrections=0), EulerAncestral()),
        (PredictorCorrector(sampler=Heun(), snr=0.0), Heun()),
    ],
    ids=label,
)
def test_without_its_noise_a_wrapper_is_the_sampler_inside(one, other, path):
    assert torch.equal(run(one, path), run(other, path))


@pytest.mark.parametrize("scale", SCALES)
def test_noise_from_a_level_up_to_another_keeps_the_marginal(scale):
    """alpha and sigma of x_t = alpha_t x0 + sigma_t eps after noising are those of the noisier level."""
    t, s = SCALES[scale](0.4), SCALES[scale](3.0)
    one = torch.ones((), dtype=torch.float64)
    assert diffuse(one * t.alpha, t, s, one * 0).item() == pytest.approx(s.alpha, rel=1e-14)
    kept = diffuse(one * t.sigma, t, s, one * 0).item()
    assert math.hypot(kept, forward_std(t, s)) == pytest.approx(s.sigma, rel=1e-14)
    assert forward_std(CLEAN, s) == s.sigma
    assert forward_std(t, PURE_NOISE) == 1.0


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("last", [CLEAN, None])
def test_a_raised_level_is_of_the_same_process(scale, last):
    s = SCALES[scale](3.0)
    hat = raised(s, last or SCALES[scale](2.0), 0.3)
    assert hat.ve_sigma == pytest.approx(3.9, rel=1e-12)
    if scale == "VE":
        assert hat.alpha == 1.0
    elif scale == "flow":
        assert hat.alpha + hat.sigma == pytest.approx(1.0, rel=1e-12)
    else:
        assert hat.norm == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if not isinstance(s, PredictorCorrector)], ids=label)
def test_the_marginal_is_right_on_a_flow_at_the_end_of_a_long_run(sampler):
    """Peers that add the noise of a variance exploding process to a flow are 28 to 77 % off here."""
    mean, std = output_moments(sampler, pure_noise_path("flow", 160, last=0.0))
    tolerance = 0.02 if sampler.order == 1 else 0.005
    assert mean == pytest.approx(0.6, abs=tolerance)
    assert std == pytest.approx(0.5, abs=tolerance)


def test_no_step_starts_above_the_first_level_of_the_path():
    x, levels = torch.ones(1, 1, dtype=torch.float64), [Level(1.0, sigma) for sigma in (5.0, 4.5, 2.0, 1.0)]
    asked = {}
    for compat in (False, True):
        model = Watched(GAUSSIAN)
        sample(Churn(Euler(), s_churn=0.9, compat=compat), model, x, levels, lambda s, t: x)
        asked[compat] = [level.sigma for level in model.levels]
    assert asked[False] == pytest.approx([5.0, 5.0, 2.6], rel=1e-12)
    assert asked[True] == pytest.approx([6.5, 5.85, 2.6], rel=1e-12)


def test_restart_walks_the_part_between_its_levels_again():
    levels = [Level(1.0, sigma) for sigma in (5.0, 3.0, 2.0, 1.0, 0.5, 0.1, 0.05)]
    model = Watched(GAUSSIAN)
    x = torch.ones(1, 1, dtype=torch.float64)
    sample(Restart(sampler=Euler(), low=0.4, high=2.0, repeats=2), model, x, levels, lambda s, t: x)
    assert [level.sigma for level in model.levels] == [5.0, 3.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 0.5, 0.1]


LOUD = {scale: jagged_path(scale, 200, first=8.0, last=2.0) for scale in SCALES}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("snr", [0.1, 0.4])
def test_langevin_steps_of_the_level_leave_the_bias_that_is_stated(scale, snr):
    """Mean and deviation exactly, from one linear run: those of the marginal but for the stated factor."""
    mean, std = output_moments(PredictorCorrector(snr=snr, size="level"), LOUD[scale])
    last = LOUD[scale].levels[-1]
    exact_mean, variance = GAUSSIAN.moments(last)
    biased = variance / (1 - snr**2 * last.sigma**2 / variance)
    assert mean == pytest.approx(exact_mean, abs=1e-3 * last.norm)
    assert std == pytest.approx(math.sqrt(biased), rel=2e-3)
    assert biased / variance > 1.009


@pytest.mark.parametrize("scale", SCALES)
def test_langevin_steps_of_norms_leave_the_bias_that_is_stated(scale):
    """An image of many pixels, whose norms are their means: the variance is 1 + snr^2 times the marginal's."""
    last, noise = LOUD[scale].levels[-1], SeededNoise((0,), (20_000,), dtype=torch.float64)
    exact_mean, variance = GAUSSIAN.moments(last)
    x = GAUSSIAN.flow(noise.initial(), PURE_NOISE, LOUD[scale].levels[0])
    for snr in (0.0, 0.4):
        end = sample(PredictorCorrector(snr=snr), GAUSSIAN, x, LOUD[scale], noise)
        assert end.mean().item() == pytest.approx(exact_mean, abs=0.02 * last.norm)
        assert end.var().item() == pytest.approx(variance * (1 + snr**2), rel=0.04)


@pytest.mark.parametrize("scale", SCALES)
def test_restart_contracts_an_error_made_above(scale):
    """A start of twice the right spread: what is left of it after going back is less for each repeat."""
    path, spreads = jagged_path(scale, 40), []
    for repeats in (0, 1, 3):
        ends = []
        for factor in (1.0, 2.0):
            x = torch.full((1, 1), factor * path.levels[0].norm, dtype=torch.float64)
            ends.append(sample(Restart(repeats=repeats), GAUSSIAN, x, path, lambda s, t, x=x: x * 0))
        spreads.append((ends[1] - ends[0]).abs().item())
    assert spreads[1] < spreads[0] / 2
    assert spreads[2] < spreads[1] / 2


@pytest.mark.parametrize("scale", SCALES)
def test_predictor_corrector_has_the_right_marginal_on_images(scale):
    """Images of 4096 pixels, whose norms vary little; within the bias of its Langevin step, 3 %."""
    noise = SeededNoise(range(4), (4096,), dtype=torch.float64)
    path = jagged_path(scale, 40)
    first, last = path.levels[0], path.levels[-1]
    x = GAUSSIAN.flow(noise.initial(), PURE_NOISE, first)
    end = sample(PredictorCorrector(), GAUSSIAN, x, path, noise)
    mean, variance = GAUSSIAN.moments(last)
    assert end.mean().item() == pytest.approx(mean, abs=0.02)
    assert end.std().item() == pytest.approx(math.sqrt(variance), rel=0.04)


def test_a_correction_is_songs_step_with_the_norms_of_each_image():
    noise = SeededNoise((1, 2), (3, 4), dtype=torch.float64)
    s, x, z = Level(0.6, 0.8), noise.initial(), noise(CLEAN, CLEAN)
    corrected = PredictorCorrector(snr=0.2)._correct(x, GAUSSIAN(x, s), s, z)
    for image, unit, end in zip(x, z, corrected, strict=True):
        score = (0.6 * GAUSSIAN(image, s) - image) / 0.64
        step = 2 * (0.2 * unit.norm() / score.norm()) ** 2
        assert torch.allclose(end, image + step * score + (2 * step).sqrt() * unit, rtol=1e-12)


def test_wrappers_take_their_declarations_from_the_sampler_inside():
    assert (Churn.order, Churn.evaluations, Churn.needs) == (2, 2, ())
    assert (Churn(DPMpp2M()).order, Churn(DPMpp2M()).evaluations) == (1, 1)
    assert (Restart(Euler()).order, Restart(Euler()).evaluations, Restart(CFGpp()).needs) == (1, 1, ("uncond",))
    assert (PredictorCorrector(Heun(), corrections=3).evaluations, PredictorCorrector.evaluations) == (5, 2)


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("churn(euler, s_churn=40)", "churn(sampler=euler, s_churn=40)"),
        ("churn(cfg_pp(heun))", "churn(sampler=cfg_pp(sampler=heun))"),
        ("restart(heun)", "restart"),
        ("predictor_corrector(euler_maruyama, snr=0.1)", "predictor_corrector(sampler=euler_maruyama, snr=0.1)"),
    ],
)
def test_a_wrapper_is_written_as_a_call_around_a_name(text, shortest):
    assert describe("sampler", build("sampler", text)) == shortest


SIGMAS = {"to clean": [14.6, 7.0, 3.1, 1.9, 0.6, 0.2, 0.03, 0.0], "split": [20.0, 11.0, 10.0, 4.0, 0.9, 0.3]}


@pytest.mark.parametrize("sigmas", SIGMAS.values(), ids=SIGMAS)
@pytest.mark.parametrize(
    "churn",
    [{"s_churn": 2.0}, {"s_churn": 40.0, "s_noise": 1.003}, {"s_churn": 1.5, "s_tmin": 0.5, "s_tmax": 5.0}],
    ids=str,
)
@pytest.mark.parametrize("inner", [Euler(), Heun(), DPM2()], ids=label)
def test_churn_equals_k_diffusions(sampling, monkeypatch, inner, churn, sigmas):
    x = SeededNoise((1, 2), (3, 4), dtype=torch.float64).initial() * sigmas[0]
    draw = SeededNoise((1, 2), (3, 4), dtype=torch.float64)
    inside = iter([churn.get("s_tmin", 0) <= sigma <= churn.get("s_tmax", math.inf) for sigma in sigmas[:-1]])
    # theirs draws for every step, and uses it where it churns
    monkeypatch.setattr(torch, "randn_like", lambda like: draw(CLEAN, CLEAN) if next(inside) else like)

    def model(x, sigma):
        return BIMODAL(x, [Level(1.0, value) for value in sigma.tolist()])

    name = {Euler: "sample_euler", Heun: "sample_heun", DPM2: "sample_dpm_2"}[type(inner)]
    expected = getattr(sampling, name)(model, x, torch.tensor(sigmas, dtype=torch.float64), disable=True, **churn)
    noise = SeededNoise((1, 2), (3, 4), dtype=torch.float64)
    end = sample(Churn(inner, **churn, compat=True), BIMODAL, x, [Level(1.0, sigma) for sigma in sigmas], noise)
    assert torch.allclose(end, expected, rtol=1e-10, atol=1e-10)

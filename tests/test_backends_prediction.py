"""Predictions and the levels they are given at: every conversion against the algebra that defines it."""

import itertools
import math

import pytest
import torch

from sigmabench.plugins.diffusers.scheduler_config import TrainedBetas, read_scheduler
from sigmabench.plugins.prediction import KINDS, Prediction, flow_time, grid_time
from sigmabench.samplers.level import PURE_NOISE, Level, variance_preserving
from sigmabench.samplers.schedules import Cosine, Flow, Linear, ScaledLinear, ZeroTerminalSNR

SCHEDULES = {"vp": ScaledLinear(), "ztsnr": ZeroTerminalSNR(Linear()), "flow": Flow(3.0)}
SCALES = {
    "ve": lambda s: Level(1.0, s),
    "vp": variance_preserving,
    "flow": lambda s: Level(1 / (1 + s), s / (1 + s)),
}
SIGMAS = (0.05, 0.7, 4.0, 14.0)


def exact_network(kind, schedule, x0, eps, level):
    """What a perfect network would say; it checks the scale and the time it is given."""
    own = schedule.project(level)
    says = {
        "eps": eps,
        "v": (own.alpha * eps - own.sigma * x0) / math.hypot(*own),
        "x0": x0,
        "flow": eps - x0,
    }[kind]

    def network(x, times):
        torch.testing.assert_close(x, own.alpha * x0 + own.sigma * eps)
        assert times.shape == (len(x),)
        return says

    return network


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_prediction_gives_the_same_x0_in_every_scale(kind, schedule, scale):
    rng = torch.Generator().manual_seed(0)
    for sigma, (dtype, tolerance) in itertools.product(SIGMAS, [(torch.float64, 1e-12), (torch.float32, 1e-6)]):
        x0, eps = torch.randn(2, 3, 2, 4, 4, generator=rng, dtype=torch.float64).to(dtype)
        level = SCALES[scale](sigma)
        network = exact_network(kind, SCHEDULES[schedule], x0, eps, level)
        x = level.alpha * x0 + level.sigma * eps
        result = Prediction(kind, SCHEDULES[schedule]).denoise(network, x, [level] * 3)
        assert result.dtype == dtype
        # dividing by alpha magnifies the rounding of x by sigma / alpha
        magnified = max(1.0, sigma) if kind == "eps" else 1.0
        torch.testing.assert_close(result, x0, atol=tolerance * magnified, rtol=0)


@pytest.mark.parametrize("kind", ["v", "x0", "flow"])
def test_pure_noise_is_an_ordinary_level_for_v_x0_and_flow(kind):
    x0, eps = torch.randn(2, 3, 2, 4, 4)
    network = exact_network(kind, SCHEDULES["ztsnr"], x0, eps, PURE_NOISE)
    result = Prediction(kind, SCHEDULES["ztsnr"]).denoise(network, eps, [PURE_NOISE] * 3)
    torch.testing.assert_close(result, x0)


def test_eps_at_alpha_zero_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"alpha = 0.*predicts v, x0 or flow"):
        Prediction("eps", SCHEDULES["ztsnr"]).denoise(lambda x, t: x, torch.ones(1, 3), [PURE_NOISE])


def test_levels_noisier_than_the_training_are_refused_by_both_numbers():
    with pytest.raises(ValueError, match=r"80 is noisier .* ends at 14\.61"):
        Prediction("v", ScaledLinear()).denoise(lambda x, t: x, torch.ones(1, 3), [Level(1.0, 80.0)])


def test_the_noisiest_level_may_be_off_by_float32_rounding():
    top = ScaledLinear().level(1.0)
    level = Level(1.0, top.ve_sigma * (1 + 1e-6))
    assert Prediction("v", ScaledLinear()).denoise(lambda x, t: x, torch.ones(1, 3), [level]).isfinite().all()


def test_an_unknown_prediction_is_refused_with_the_legal_ones():
    with pytest.raises(ValueError, match=r"'score'.*'eps', 'v', 'x0', 'flow'"):
        Prediction("score", ScaledLinear())


def test_a_level_for_every_row_is_required():
    with pytest.raises(ValueError, match="2 levels for 3 rows"):
        Prediction("v", ScaledLinear()).denoise(lambda x, t: x, torch.ones(3, 4), [Level(1, 1)] * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_at_their_own_levels_equal_one_by_one(kind):
    prediction = Prediction(kind, ScaledLinear())
    x = torch.randn(4, 3, 5, 5)
    levels = [SCALES["ve"](0.3), SCALES["vp"](2.0), SCALES["flow"](14.0), SCALES["ve"](0.3)]

    def network(own, times):
        return torch.sin(own) + times.view(-1, 1, 1, 1) / 1000

    together = prediction.denoise(network, x, levels)
    alone = [prediction.denoise(network, row, [level]) for row, level in zip(x.split(1), levels, strict=True)]
    assert torch.equal(together, torch.cat(alone))


def test_grid_time_is_the_timestep_of_the_table_and_never_negative():
    schedule = Linear()
    times = [grid_time(schedule, schedule.level((i + 1) / 1000)) for i in (0, 1, 499, 999)]
    assert times == pytest.approx([0, 1, 499, 999], abs=1e-9)
    assert grid_time(schedule, Level(1.0, 1e-5)) == grid_time(schedule, Level(1.0, 0.0)) == 0.0


def test_flow_time_is_the_level_itself_whatever_the_shift():
    for shift in (1.0, 3.0):
        assert flow_time(Flow(shift), Level(0.25, 0.75)) == pytest.approx(750)
        assert flow_time(Flow(shift), Level(1.0, 3.0)) == pytest.approx(750)


BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "num_train_timesteps": 1000, "prediction_type": "epsilon"}


@pytest.mark.parametrize(
    ("config", "kind", "schedule"),
    [
        ({**BETAS, "beta_schedule": "linear"}, "eps", Linear()),
        ({**BETAS, "beta_schedule": "scaled_linear", "beta_end": 0.012}, "eps", ScaledLinear(1e-4, 0.012)),
        ({**BETAS, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample"}, "x0", Cosine()),
        (
            {**BETAS, "beta_schedule": "linear", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
            "v",
            ZeroTerminalSNR(Linear()),
        ),
        ({**BETAS, "beta_schedule": "linear", "trained_betas": [0.1, 0.2]}, "eps", TrainedBetas((0.1, 0.2))),
        ({"num_train_timesteps": 1000, "use_flow_sigmas": True, "flow_shift": 3.0}, "flow", Flow(3.0)),
    ],
)
def test_scheduler_configs_become_schedule_and_prediction(config, kind, schedule):
    read = read_scheduler("AnyScheduler", config)
    assert (read.kind, read.schedule) == (kind, schedule)


def test_dynamic_shifting_takes_the_pipelines_mu():
    config = {"num_train_timesteps": 1000, "use_dynamic_shifting": True}
    assert read_scheduler("FlowMatchEulerDiscreteScheduler", config, 1.15).schedule == Flow(math.exp(1.15))
    with pytest.raises(ValueError, match="no mu"):
        read_scheduler("FlowMatchEulerDiscreteScheduler", config)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("DDPMScheduler", {**BETAS, "beta_schedule": "cubic"}, "'cubic'.*'linear', 'scaled_linear'"),
        ("DDIMScheduler", {**BETAS, "beta_schedule": "linear", "prediction_type": "score"}, "'score'.*'epsilon'"),
        ("EDMEulerScheduler", {"sigma_data": 0.5}, "EDMEulerScheduler.*sigma_data"),
        ("KarrasVeScheduler", {"sigma_min": 0.02}, "KarrasVeScheduler.*neither betas nor flow"),
    ],
)
def test_unknown_scheduler_configs_are_refused_by_name_with_the_legal_ones(name, config, message):
    with pytest.raises(ValueError, match=message):
        read_scheduler(name, config)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_the_table_read_is_the_table_diffusers_uses(name, beta_schedule, rescaled):
    diffusers = pytest.importorskip("diffusers")
    options = {"beta_schedule": beta_schedule, "rescale_betas_zero_snr": rescaled, "prediction_type": "v_prediction"}
    scheduler = getattr(diffusers, name)(**options)
    schedule = read_scheduler(name, scheduler.config).schedule
    ours = torch.tensor([schedule.level((i + 1) / 1000).alpha ** 2 for i in range(999)])
    torch.testing.assert_close(ours, scheduler.alphas_cumprod[:-1], atol=2e-6, rtol=1e-4)

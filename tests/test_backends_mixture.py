"""The closed-form backend: exact answers, so that what is left of a sampler's error is its own."""

import pytest
import torch

from sigmabench.eval.backends.mixture import GaussianMixture
from sigmabench.samplers import DPMpp2M, Euler, Level
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import Flow, Linear, ScaledLinear, ZeroTerminalSNR
from sigmabench.samplers.spacings import Trailing

PROCESSES = {
    "v": GaussianMixture(size=16),
    "eps": GaussianMixture(size=16, prediction="eps", schedule=ScaledLinear()),
    "x0-ztsnr": GaussianMixture(size=16, prediction="x0", schedule=ZeroTerminalSNR(Linear())),
    "flow": GaussianMixture(size=16, prediction="flow", schedule=Flow()),
}
PROMPTS = ["a cat", "a dog", "a ship", ""]


def run(model, sampler, steps, dtype=torch.float64):
    """The sampler's end and the exact one, without the last step to sigma = 0: it is first order for all samplers."""
    levels = Trailing()(model.schedule, steps)[:-1]
    condition = model.encode(PROMPTS)
    x = SeededNoise(range(len(PROMPTS)), model.shape).initial().to(dtype) * levels[0].norm

    def denoiser(x, level):
        return model.denoise(x, [level] * len(x), condition)

    return sample(sampler, denoiser, x, levels), model.solution(x, levels[0], levels[-1], condition)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(("sampler", "tolerance"), [(Euler(), 0.01), (DPMpp2M(), 0.003)])
def test_samplers_end_at_the_exact_solution(name, sampler, tolerance):
    result, exact = run(PROCESSES[name].load(), sampler, 100)
    assert (result - exact).abs().mean() < tolerance


def test_the_error_of_euler_halves_with_twice_the_steps():
    model = PROCESSES["flow"].load()
    errors = [(result - exact).abs().mean() for result, exact in (run(model, Euler(), n) for n in (100, 200))]
    assert 1.7 < errors[0] / errors[1] < 2.3


def test_samples_have_the_mean_and_the_variance_of_the_model():
    model = GaussianMixture(size=32, prediction="flow", schedule=Flow()).load()
    result, _ = run(model, DPMpp2M(), 60, torch.float32)
    end = model.schedule.level(1 / 60)
    rest = result - end.alpha * model.encode(PROMPTS)["pattern"]
    mean, variance = model.residual.moments(end)
    assert rest.mean() == pytest.approx(mean, abs=0.01)
    assert rest.var() == pytest.approx(variance, rel=0.03)


def test_all_predictions_of_one_process_give_the_same_x0():
    x, levels = torch.randn(4, 3, 8, 8, dtype=torch.float64), [Level(1.0, s) for s in (0.1, 1.0, 5.0, 14.0)]
    answers = []
    for kind in ("eps", "v", "x0", "flow"):
        model = GaussianMixture(size=8, prediction=kind).load()
        answers.append(model.denoise(x, levels, model.encode(PROMPTS)))
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0], atol=1e-12, rtol=0)


def test_a_denoise_is_one_call_of_the_network_with_all_rows():
    model = GaussianMixture(size=8).load()
    rows = []
    model.network.register_forward_hook(lambda module, args, output: rows.append(len(args[0])))
    model.denoise(torch.zeros(4, 3, 8, 8), [Level(1.0, 2.0)] * 4, model.encode(PROMPTS))
    assert rows == [4]


def test_prompts_differ_and_the_empty_one_has_no_pattern():
    patterns = GaussianMixture().load().encode(PROMPTS)["pattern"]
    assert patterns[3].abs().max() == 0
    assert min((patterns[i] - patterns[j]).abs().mean() for i in range(4) for j in range(i)) > 0.1


def test_the_id_follows_the_settings():
    ids = {GaussianMixture(std=std).load().id for std in (0.1, 0.1, 0.2)}
    assert len(ids) == 2


def test_bfloat16_rounds_the_network_and_not_the_state():
    x, levels = torch.randn(2, 3, 8, 8), [Level(1.0, 2.0)] * 2
    exact, rounded = (GaussianMixture(size=8).load(dtype=dtype) for dtype in ("float32", "bfloat16"))
    a, b = (model.denoise(x, levels, model.encode(["a cat", ""])) for model in (exact, rounded))
    assert b.dtype == torch.float32
    assert 1e-5 < (a - b).abs().max() < 2e-2


def test_decoding_never_wraps():
    model = GaussianMixture(size=1).load()
    values = torch.tensor([-1e3, -1.001, -1.0, 0.0, 1.0, 1.001, 1e3, float("inf"), float("-inf")])
    images = model.decode(values.view(-1, 1, 1, 1).expand(-1, 3, 1, 1))
    assert images[:, 0, 0, 0].tolist() == [0, 0, 0, 128, 255, 255, 255, 255, 0]

"""The embedded backend: with a network of random weights always, with the shipped ones where they are installed."""

import pytest
import torch
from word_states import WordStates

from sigmabench.eval.backends.embedded import Embedded
from sigmabench.eval.backends.embedded_model import EmbeddedModel
from sigmabench.eval.embedded.generator import NAMES, SCHEDULERS, UNET, Generator
from sigmabench.samplers import Euler
from sigmabench.samplers.level import PURE_NOISE
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import Linear, ZeroTerminalSNR
from sigmabench.samplers.spacings import Trailing

diffusers = pytest.importorskip("diffusers")
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(**UNET).eval().requires_grad_(False)

    def make(variant, dtype=torch.float32):
        generator = Generator(unet, SCHEDULERS[variant], "1a2b3c4d", f"cifargen-{variant}-1a2b3c4d")
        return EmbeddedModel(generator, WordStates(), variant, dtype)

    return make


@pytest.mark.parametrize(
    ("variant", "kind", "schedule"), [("eps", "eps", Linear()), ("v", "v", ZeroTerminalSNR(Linear()))]
)
def test_schedule_and_prediction_come_from_the_scheduler_config(models, variant, kind, schedule):
    model = models(variant)
    assert (model.prediction, model.schedule, model.shape) == (kind, schedule, (12, 16, 16))


def test_the_id_holds_the_hashes_of_both_networks(models):
    assert models("v").id == "embedded/v-1a2b3c4d-00c0ffee"


def test_rows_are_the_same_in_a_batch_of_eight_and_alone(models):
    model = models("v")
    prompts = ["a cat", "", "a dark dog", "a ship", "a truck", "a bird", "a horse", "a frog"]
    x, condition = torch.randn(8, *model.shape), model.encode(prompts)
    levels = [model.schedule.level((i + 1) / 8) for i in range(8)]
    together = model.denoise(x, levels, condition)
    for i in range(8):
        alone = model.denoise(x[i : i + 1], levels[i : i + 1], model.encode(prompts[i : i + 1]))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_a_denoise_is_one_call_of_the_network(models):
    model = models("v")
    calls = []
    model.network.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    model.denoise(torch.randn(3, *model.shape), [PURE_NOISE] * 3, model.encode(["", "", ""]))
    assert calls == [3]


def test_hooks_on_one_loaded_model_do_not_reach_another(models):
    assert models("v").network is not models("v").network


def test_euler_from_pure_noise_equals_diffusers_ddim(models):
    model = models("v")
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(3))
    condition = model.encode(["a cat", "a dog"])

    def denoiser(x, level):
        return model.denoise(x, [level] * len(x), condition)

    ours = sample(Euler(), denoiser, x, Trailing()(model.schedule, 5))
    scheduler = diffusers.DDIMScheduler.from_config(SCHEDULERS["v"])
    scheduler.set_timesteps(5)
    theirs = x
    with torch.no_grad():
        for t in scheduler.timesteps:
            v = model.network(theirs, t, condition["encoder_hidden_states"]).sample
            theirs = scheduler.step(v, t, theirs).prev_sample
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_an_unknown_word_is_refused_by_name(models):
    with pytest.raises(ValueError, match="'submarine'"):
        models("v").encode(["a cat", "a submarine"])
    with pytest.raises(ValueError, match="'submarine'"):
        Embedded().check_prompts(["a submarine"])


def test_the_default_prompts_are_known_to_the_model_and_spread_over_classes(models):
    Embedded().check_prompts(Embedded.prompts)
    assert len(set(Embedded.prompts)) == 50
    assert len(models("v").encode(Embedded.prompts)["encoder_hidden_states"]) == 50


def test_bfloat16_is_close_and_the_state_stays_float32(models):
    x, prompts = torch.randn(2, 12, 16, 16), ["a cat", ""]
    exact, coarse = (models("v", dtype) for dtype in (torch.float32, torch.bfloat16))
    a, b = (model.denoise(x, [PURE_NOISE] * 2, model.encode(prompts)) for model in (exact, coarse))
    assert b.dtype == torch.float32
    assert 0 < (a - b).abs().max() < 0.1 * a.abs().max()


def test_float16_on_the_cpu_is_refused():
    with pytest.raises(ValueError, match=r"float16.*bfloat16"):
        Embedded().load("cpu", "float16")


def test_decoding_gives_bytes_of_the_right_shape(models):
    images = models("v").decode(torch.randn(2, 12, 16, 16))
    assert images.shape == (2, 3, 32, 32)
    assert images.dtype == torch.uint8


@pytest.mark.parametrize("variant", NAMES)
def test_the_shipped_model_draws_images_that_differ_by_prompt(variant):
    try:
        model = Embedded(variant).load()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    condition = model.encode(["a dark ship", "a bright frog"])
    levels = Trailing()(model.schedule, 10)
    noise = torch.randn(1, *model.shape, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1)

    def denoiser(x, level):
        return model.denoise(x, [level] * len(x), condition)

    images = model.decode(sample(Euler(), denoiser, noise, levels)).float()
    assert (images[0] - images[1]).abs().mean() > 5
    assert 20 < images.mean() < 235

"""Our guidance as a guider of diffusers' modular pipelines."""

import diffusers
import pytest
import torch
from diffusers.modular_pipelines import StableDiffusionXLAutoBlocks
from diffusers.modular_pipelines.modular_pipeline import BlockState
from tiny_pipelines import SD15, stable_diffusion_xl

import sigmabench
from sigmabench.plugins.diffusers.guider import StepGuider
from sigmabench.plugins.prediction import Prediction
from sigmabench.plugins.registry import build
from sigmabench.samplers.run import guide, lockstep, start

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PROMPTS = ["a cat on a mat", "two dogs"]
STEPS = 6
NEEDED = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
SCHEDULER = diffusers.DDIMScheduler(**SD15, steps_offset=1)


@pytest.fixture(scope="module")
def whole():
    return stable_diffusion_xl(SCHEDULER)


@pytest.fixture
def pipe(whole):
    modular = StableDiffusionXLAutoBlocks().init_pipeline()
    modular.update_components(**{name: whole.components[name] for name in NEEDED}, scheduler=SCHEDULER)
    modular.set_progress_bar_config(disable=True)
    return modular


def run(pipe, guider):
    pipe.update_components(guider=guider)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return pipe(
        prompt=PROMPTS, negative_prompt=["", ""], latents=x, num_inference_steps=STEPS, height=16, width=16,
        output="latents",
    )  # fmt: skip


def without_diffusers(whole, guidance, sampler="euler", spacing="leading(offset=1)"):
    """The same network, prompts and noise under our own driver."""
    embeds, no_embeds, pooled, no_pooled = whole.encode_prompt(PROMPTS, negative_prompt=["", ""])
    sizes = torch.tensor([[16.0, 16, 0, 0, 16, 16]] * 2)
    conditions = {"cond": (embeds, pooled), "uncond": (no_embeds, no_pooled)}
    prediction = Prediction("eps", build("schedule", "scaled_linear"))

    def network(name):
        states, text = conditions[name]
        added = {"text_embeds": text, "time_ids": sizes}
        return lambda x, times: whole.unet(x, times[0], encoder_hidden_states=states, added_cond_kwargs=added).sample

    def evaluate(requests):
        return [
            (x, {name: prediction.denoise(network(name), x, [level] * len(x)) for name in branches})
            for x, level, branches in requests
        ]

    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    path, solver = build("spacing", spacing)(prediction.schedule, STEPS), build("sampler", sampler)
    return lockstep([guide(start(solver, x, path), build("guidance", guidance), solver.needs)], evaluate)[0]


def test_cfg_equals_diffusers_cfg(pipe):
    theirs = run(pipe, diffusers.ClassifierFreeGuidance(guidance_scale=4.0))
    torch.testing.assert_close(run(pipe, sigmabench.guider("cfg(4)", like=pipe)), theirs, rtol=1e-4, atol=1e-4)


GUIDANCE = [
    "apg(5)", "rescaled_cfg(5)", "cfg_zero_star(5)", "tcfg(5)", "mahiro(5)", "dynamic_cfg", "fdg", "cfg_norm(5)",
    "interval(apg(5), sigma_lo=0.3, sigma_hi=4)", "eps_scaling(cfg(1), factor=1.02)",
]  # fmt: skip


@pytest.mark.parametrize("guidance", GUIDANCE)
def test_a_modular_pipeline_equals_our_own_driver(pipe, whole, guidance):
    expected = without_diffusers(whole, guidance)
    for _ in range(2):  # what a guidance remembers does not reach the next run
        latents = run(pipe, sigmabench.guider(guidance, like=pipe))
        torch.testing.assert_close(latents, expected, rtol=1e-3, atol=1e-3)
    guider = pipe.guider
    torch.testing.assert_close(run(pipe, guider), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m", "res_3s"])
def test_guidance_and_sampler_together_equal_our_own_driver(pipe, whole, sampler):
    pipe.update_components(scheduler=sigmabench.scheduler(sampler, like=SCHEDULER, spacing="karras"))
    latents = run(pipe, sigmabench.guider("apg(5)", like=pipe))
    expected = without_diffusers(whole, "apg(5)", sampler, "karras")
    torch.testing.assert_close(latents, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("guidance", ["cfg(0.8)", "interval(cfg(0.8), sigma_lo=0.3, sigma_hi=4)"])
def test_a_sampler_that_needs_the_unconditional_prediction_has_it_from_the_guider(pipe, whole, guidance):
    guider = sigmabench.guider(guidance, like=pipe)
    sampler = sigmabench.scheduler("cfg_pp(dpmpp_2m)", like=SCHEDULER, spacing="karras", guider=guider)
    pipe.update_components(scheduler=sampler)
    latents = run(pipe, guider)
    expected = without_diffusers(whole, guidance, "cfg_pp(dpmpp_2m)", "karras")
    torch.testing.assert_close(latents, expected, rtol=1e-3, atol=1e-3)


def test_only_what_a_level_needs_is_evaluated(pipe):
    calls = []
    handle = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    guider = sigmabench.guider("interval(cfg(4), sigma_lo=0.3, sigma_hi=4)", like=pipe)
    inside = [
        0.3 < build("schedule", "scaled_linear").level((t + 1) / 1000).ve_sigma <= 4
        for t in (831, 665, 499, 333, 167, 1)
    ]
    assert 0 < sum(inside) < STEPS
    for _ in range(2):
        run(pipe, guider)
        assert len(calls) == STEPS + sum(inside)
        assert guider.num_conditions == 2, "the prompts of the next run need both"
        calls.clear()
    handle.remove()
    assert not pipe.unet._forward_pre_hooks


def test_inputs_from_a_block_state():
    guider = sigmabench.guider("cfg(4)", like=SCHEDULER)
    guider.set_state(step=0, num_inference_steps=5, timestep=torch.tensor(801))
    state = BlockState(prompt=torch.ones(1), negative=torch.zeros(1), shared=torch.full((1,), 2.0))
    fields = {"states": ("prompt", "negative"), "shared": "shared"}
    cond, uncond = guider.prepare_inputs_from_block_state(state, fields)
    assert [(batch.states.item(), batch.shared.item()) for batch in (cond, uncond)] == [(1, 2), (0, 2)]
    network = torch.nn.Identity()
    for batch, output in ((cond, 3.0), (uncond, 1.0)):
        guider.prepare_models(network)
        assert guider.is_conditional == (batch is cond)
        batch.noise_pred = network(torch.zeros(1, 1)) + output
        guider.cleanup_models(network)
    torch.testing.assert_close(guider([cond, uncond]).pred, torch.full((1, 1), 1.0 + 4 * 2))
    guider.disable()
    assert guider.num_conditions == 1
    [cond] = guider.prepare_inputs_from_block_state(state, fields)
    cond.noise_pred = torch.ones(1, 1)
    assert guider([cond]).pred is cond.noise_pred


def test_a_guider_survives_saving(tmp_path):
    flow = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    guider = sigmabench.guider("interval(apg(5), sigma_hi=3)", like=flow)
    guider.save_pretrained(tmp_path)
    again = StepGuider.from_pretrained(tmp_path)
    assert again.guidance == guider.guidance == guider.new().guidance
    assert again.config["prediction_type"] == "flow_prediction"
    assert guider.new(guidance="cfg").guidance == build("guidance", "cfg")


def test_what_a_pipeline_cannot_serve_is_refused_by_name():
    with pytest.raises(ValueError, match=r"interval\(perp_neg\) needs the negative prediction.*cond and uncond"):
        sigmabench.guider("interval(perp_neg)", like=SCHEDULER)
    with pytest.raises(ValueError, match=r"interval\(characteristic\) asks the network again at other latents"):
        sigmabench.guider("interval(characteristic)", like=SCHEDULER)
    with pytest.raises(ValueError, match="unknown guidance 'apq'; did you mean 'apg'"):
        sigmabench.guider("apq", like=SCHEDULER)
    guider = sigmabench.guider("cfg(4)", like=SCHEDULER)
    guider.set_state(step=0, num_inference_steps=5, timestep=torch.tensor(801))
    guider._batches()
    guider._x = torch.zeros(1, 9, 2, 2)
    with pytest.raises(ValueError, match="input is not latents alone"):
        guider.forward(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2))

"""The diffusers backend against stock pipelines: small, with random weights, saved and loaded like real ones."""

import importlib.util
import re
import shutil
import warnings

import pytest
import torch

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from stock_pipelines import EVEN, PROMPTS, near, noise, ours, stock, theirs  # noqa: E402
from tiny_pipelines import (  # noqa: E402
    BETAS,
    SD15,
    V_ZTSNR,
    auraflow,
    chroma,
    distilled,
    flux,
    lumina,
    pixart,
    pixel_unet,
    sana,
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
)

from sigmabench.eval.backends.diffusers_pipeline import Diffusers  # noqa: E402
from sigmabench.eval.cells import plan  # noqa: E402
from sigmabench.eval.errors import UsageError  # noqa: E402
from sigmabench.eval.plans import load_plan  # noqa: E402
from sigmabench.eval.runner import Runner  # noqa: E402
from sigmabench.eval.sweep import Sweep  # noqa: E402
from sigmabench.samplers.level import CLEAN, PURE_NOISE  # noqa: E402
from sigmabench.samplers.noise import SeededNoise  # noqa: E402
from sigmabench.samplers.schedules import Flow, Linear, ScaledLinear  # noqa: E402

SAMPLERS = [
    pytest.param("euler", diffusers.DDIMScheduler, id="DDIM"),
    pytest.param("dpmpp_2m", diffusers.DPMSolverMultistepScheduler, id="DPM++2M"),
]


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize(("sampler", "scheduler"), SAMPLERS)
@pytest.mark.parametrize(
    ("make", "saved_with"),
    [
        (stable_diffusion, diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True)),
        (stable_diffusion_xl, diffusers.EulerDiscreteScheduler(**BETAS)),
    ],
)
def test_replayed_unet_gives_the_stock_pipelines_latents(saved, make, saved_with, sampler, scheduler, scale):
    folder = saved(make, saved_with)
    model = Diffusers(folder).load()
    assert (model.prediction, model.schedule) == ("eps", ScaledLinear())
    near(ours(model, f"cfg({scale})", sampler=sampler), theirs(stock(folder, scheduler), model, scale))


def test_sdxl_sizes_are_part_of_the_condition(saved):
    folder = saved(stable_diffusion_xl, diffusers.EulerDiscreteScheduler(**BETAS))
    model = Diffusers(folder, height=24, width=16).load()
    result = ours(model, "cfg(5)")
    near(result, theirs(stock(folder), model, 5.0, height=24, width=16))
    assert model.decode(result).shape == (2, 3, 24, 16)


def test_guidance_embedded_in_a_distilled_network_is_a_setting(saved):
    folder = saved(distilled, diffusers.DDIMScheduler(**SD15))
    model = Diffusers(folder, distilled_guidance=4.0).load()
    assert "timestep_cond" in model.encode(PROMPTS)
    near(ours(model, "cfg(1)"), theirs(stock(folder), model, 4.0))


def test_v_prediction_with_zero_terminal_snr_gives_the_stock_pipelines_latents(saved):
    folder = saved(stable_diffusion, diffusers.DDIMScheduler(**V_ZTSNR))
    model = Diffusers(folder).load()
    assert (model.prediction, model.schedule.level(1.0)) == ("v", (0.0, 1.0))
    near(ours(model, "cfg(5)"), theirs(stock(folder), model, 5.0))


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_sd3_with_flow_matching_gives_the_stock_pipelines_latents(saved, scale):
    folder = saved(stable_diffusion_3, diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    model = Diffusers(folder).load()
    assert (model.prediction, model.schedule) == ("flow", Flow(3.0))
    near(ours(model, f"cfg({scale})"), theirs(stock(folder, None), model, scale, sigmas=EVEN))


@pytest.mark.parametrize(
    ("make", "shift", "options"),
    [(auraflow, 1.73, {}), (chroma, 1.0, {}), (sana, 3.0, {"use_resolution_binning": False})],
)
def test_other_flow_transformers_give_the_stock_pipelines_latents(saved, make, shift, options):
    folder = saved(make, diffusers.FlowMatchEulerDiscreteScheduler(shift=shift))
    model = Diffusers(folder, height=32, width=32).load()
    assert (model.prediction, model.schedule) == ("flow", Flow(shift))
    result = ours(model, "cfg(4)")
    near(result, theirs(stock(folder, None), model, 4.0, sigmas=EVEN, height=32, width=32, **options))
    assert model.decode(result).shape[0] == 2


def test_flow_schedulers_of_the_dpm_solver_kind_are_read_as_flow(saved):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    model = Diffusers(saved(sana, scheduler), height=32, width=32).load()
    assert (model.prediction, model.schedule) == ("flow", Flow(3.0))


@pytest.mark.parametrize(
    ("make", "scheduler", "message"),
    [
        (lumina, diffusers.FlowMatchEulerDiscreteScheduler(), r"Lumina2Pipeline tells its network the time"),
    ],
)
def test_pipelines_that_cannot_be_replayed_are_refused_by_name(saved, make, scheduler, message):
    with pytest.raises(ValueError, match=message):
        Diffusers(saved(make, scheduler)).load()


def test_pixart_with_learned_variance_gives_the_stock_pipelines_latents(saved):
    folder = saved(pixart, diffusers.DDIMScheduler(clip_sample=False))
    model = Diffusers(folder, height=16, width=16).load()
    assert (model.prediction, model.schedule, model.shape) == ("eps", Linear(), (4, 8, 8))
    options = {"height": 16, "width": 16, "use_resolution_binning": False}
    near(ours(model, "cfg(4)"), theirs(stock(folder), model, 4.0, **options))


def test_flux_with_packed_latents_and_distilled_guidance_gives_the_stock_pipelines_latents(saved):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    folder = saved(flux, scheduler)
    model = Diffusers(folder, height=16, width=32, distilled_guidance=2.5).load()
    result = ours(model, "cfg(1)")
    near(result, theirs(stock(folder, None), model, 2.5, height=16, width=32))
    assert model.decode(result).shape == (2, 3, 16, 32)


def test_the_condition_is_everything_that_has_a_row_per_prompt(saved):
    cases = {
        stable_diffusion: {"encoder_hidden_states"},
        stable_diffusion_xl: {
            "encoder_hidden_states", "added_cond_kwargs.text_embeds", "added_cond_kwargs.time_ids",
        },
    }  # fmt: skip
    for make, names in cases.items():
        condition = Diffusers(saved(make, diffusers.DDIMScheduler(**SD15))).load().encode(["a", "", "a cat"])
        assert set(condition) == names
        assert {len(rows) for rows in condition.values()} == {3}


def test_encoding_one_by_one_and_together_agree_and_prompts_matter(saved):
    folder = saved(stable_diffusion_xl, diffusers.DDIMScheduler(**SD15))
    together = Diffusers(folder).load().encode(["a dog", "", "a cat", "a dog"])
    alone = Diffusers(folder).load()
    for i, prompt in enumerate(["a dog", "", "a cat", "a dog"]):
        for name, rows in alone.encode([prompt]).items():
            torch.testing.assert_close(rows, together[name][i : i + 1], atol=1e-5, rtol=1e-5)
    states = together["encoder_hidden_states"]
    assert (states[0] - states[2]).abs().max() > 0.1
    assert states[1].abs().max() == 0, "SDXL's own unconditional row is zero, not the embedding of an empty text"


def test_encoding_leaves_the_global_random_state_alone(saved):
    model = Diffusers(saved(stable_diffusion, diffusers.DDIMScheduler(**SD15))).load()
    before = torch.get_rng_state()
    model.encode(["something new"])
    assert torch.equal(before, torch.get_rng_state())


def test_rows_at_different_levels_equal_one_by_one_and_are_one_call(saved):
    model = Diffusers(saved(stable_diffusion_xl, diffusers.DDIMScheduler(**SD15))).load()
    x, levels = noise(model), [model.schedule.level(0.9), model.schedule.level(0.3)]
    condition, calls = model.encode(PROMPTS), []
    handle = model.network.register_forward_hook(lambda module, args, output: calls.append(1))
    together = model.denoise(x, levels, condition)
    handle.remove()
    assert calls == [1]
    for i in range(2):
        row = {name: value[i : i + 1] for name, value in condition.items()}
        torch.testing.assert_close(together[i : i + 1], model.denoise(x[i : i + 1], levels[i : i + 1], row))


@pytest.mark.parametrize("make", [stable_diffusion, stable_diffusion_xl])
def test_decoded_bytes_equal_the_stock_pipelines(saved, make):
    folder = saved(make, diffusers.DDIMScheduler(**SD15))
    model = Diffusers(folder).load()
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
    latents = 3 * noise(model)
    with torch.no_grad():
        images = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    theirs = pipe.image_processor.postprocess(images, output_type="np")
    expected = torch.from_numpy((theirs * 255).round().astype("uint8")).permute(0, 3, 1, 2)
    assert (model.decode(latents).int() - expected.int()).abs().max() <= 1


def test_half_networks_keep_the_state_and_the_autoencoder_in_float32(saved):
    """Whatever ``force_upcast`` of an autoencoder says, SDXL's among them, which overflows in float16."""
    model = Diffusers(saved(stable_diffusion_xl, diffusers.DDIMScheduler(**SD15))).load("cpu", "bfloat16")
    assert {weights.dtype for weights in model.autoencoder.vae.parameters()} == {torch.float32}
    result = ours(model, "cfg(3)", steps=2)
    assert (result.dtype, model.network.dtype) == (torch.float32, torch.bfloat16)
    assert model.decode(result).shape == (2, 3, 16, 16)


def test_the_id_names_the_folder_and_follows_the_contents(saved, tmp_path):
    folder = saved(stable_diffusion, diffusers.DDIMScheduler(**SD15))
    copy = shutil.copytree(folder, tmp_path / "Mine")
    first, second = (Diffusers(str(path)).load().id for path in (folder, copy))
    assert first.startswith("diffusers/stable_diffusion-")
    assert second == first.replace("stable_diffusion", "mine")
    config = copy / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace('"epsilon"', '"v_prediction"'))
    assert Diffusers(str(copy)).load().id != second


def save_unconditional(folder):
    network = pixel_unet()
    diffusers.DDPMPipeline(network, diffusers.DDPMScheduler()).save_pretrained(folder)


def test_unconditional_pixel_models_take_no_prompt_but_the_empty_one(tmp_path):
    save_unconditional(tmp_path)
    model = Diffusers(str(tmp_path)).load()
    assert (model.shape, model.prediction, model.schedule) == ((3, 8, 8), "eps", Linear())
    assert model.encode(["", ""]) == {}
    x = torch.randn(2, *model.shape)
    x0 = model.denoise(x, [model.schedule.level(0.5)] * 2, {})
    assert model.decode(x0).shape == (2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"unconditional.*'a cat'"):
        model.encode(["a cat"])


def test_an_unconditional_model_is_swept_without_prompts_and_a_prompt_is_refused_before_any_work(tmp_path):
    save_unconditional(tmp_path / "model")
    fields = {
        "models": [f"diffusers(path='{tmp_path / 'model'}')"], "samplers": ["ddim", "ddpm"], "steps": [2],
        "guidance": ["cfg(1)"], "images": 3, "metrics": ["luminance"], "device": "cpu",
    }  # fmt: skip
    runner = Runner(Sweep(**fields), tmp_path / "run")
    assert runner.run(lambda images, cell: None).made == 6
    assert load_plan(tmp_path / "run").prompts == [""]
    with pytest.raises(UsageError, match=r"unconditional.*not 'a cat'; leave prompts out"):
        Runner(Sweep(**fields, prompts=["a cat"]), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_missing_or_unusable_paths_are_explained(tmp_path):
    with pytest.raises(ValueError, match="needs a path"):
        Diffusers().load()
    with pytest.raises(FileNotFoundError, match=r"/no/such/folder does not exist.*hub"):
        Diffusers("/no/such/folder").load()
    with pytest.raises(ValueError, match=r"not a diffusers pipeline.*from_single_file"):
        Diffusers(str(tmp_path)).load()


def test_a_hub_id_that_cannot_be_had_is_explained(monkeypatch):
    def unreachable(name, **_):
        raise OSError("no connection")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", unreachable)
    with pytest.raises(FileNotFoundError, match=r"some-owner/some-model.*no connection.*give its folder"):
        Diffusers("some-owner/some-model").load()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "GatedRepoError",
            r"some-owner/some-model is gated: accept its licence at https://huggingface.co/.*hf auth login",
        ),
        ("RepositoryNotFoundError", r"some-owner/some-model is neither a folder here nor a public model on the hub"),
    ],
)
def test_a_gated_or_unknown_model_is_named_with_the_remedy(monkeypatch, name, message):
    import huggingface_hub.errors

    class Response:
        headers, request = {}, None

    def refuse(path, **_):
        raise getattr(huggingface_hub.errors, name)("401", response=Response())

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", refuse)
    with pytest.raises(FileNotFoundError, match=message):
        Diffusers("some-owner/some-model").load()


def test_a_pipeline_of_an_unknown_type_is_named(saved, tmp_path):
    folder = shutil.copytree(saved(stable_diffusion, diffusers.DDIMScheduler(**SD15)), tmp_path / "unknown")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "UnheardOfPipeline"))
    with pytest.raises(ValueError, match=r"unknown \(UnheardOfPipeline\) cannot be loaded: .*UnheardOfPipeline"):
        Diffusers(str(folder)).load()


def test_an_eps_model_whose_config_says_zero_terminal_snr_is_refused(saved):
    scheduler = diffusers.DDIMScheduler(**SD15, rescale_betas_zero_snr=True)
    model = Diffusers(saved(stable_diffusion, scheduler)).load()
    with pytest.raises(ValueError, match="an eps prediction says nothing about the image at alpha = 0"):
        ours(model, "cfg(5)")


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_turbo_models_take_the_times_they_were_distilled_at(saved, steps):
    """Without guidance, from Euler's own starting noise: sigma z where the forward process has sqrt(1 + sigma^2) z."""
    scheduler = diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="trailing")
    model = Diffusers(saved(stable_diffusion_xl, scheduler)).load()
    pipe = stock(saved(stable_diffusion_xl, scheduler), None)
    top = model.schedule.level(1.0)
    more = 1 / top.sigma
    expected = pipe(
        PROMPTS, latents=noise(model) * more, num_inference_steps=steps, guidance_scale=0.0, output_type="latent",
        timesteps=[999 - 250 * i for i in range(steps)],
    ).images  # fmt: skip
    near(ours(model, "cfg(1)", steps=steps, spacing="sd_turbo(grid=4)"), expected, 2e-4)


def consistency_model(scheduler):
    pipe = distilled(scheduler)
    return diffusers.LatentConsistencyModelPipeline(**pipe.components, requires_safety_checker=False)


def test_a_latent_consistency_model_is_swept_as_its_pipeline_samples(saved, monkeypatch):
    folder = saved(consistency_model, diffusers.LCMScheduler(**BETAS, clip_sample=False))
    model = Diffusers(folder, distilled_guidance=8.0).load()
    fresh, module = SeededNoise([7, 8], model.shape), diffusers.schedulers.scheduling_lcm
    monkeypatch.setattr(module, "randn_tensor", lambda *args, **kwargs: fresh(PURE_NOISE, CLEAN))
    expected = theirs(stock(folder, None), model, 8.0, num_inference_steps=4)
    near(ours(model, "cfg(1)", sampler="lcm", steps=4, spacing="simple(grid=50)"), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samplers": "lcm", "guidance": "cfg(1)", "steps": 4}, ""),
        (
            {"samplers": "heun", "guidance": "cfg(1)", "steps": 4},
            "for sampler heun: use lcm, tcd, consistency",
        ),
        (
            {"samplers": "tcd", "guidance": "cfg(7)", "steps": 4},
            r"guidance cfg\(scale=7\) beside its own: use cfg\(1\)",
        ),
        ({"samplers": "lcm", "guidance": "cfg(1)", "steps": 60}, "60 steps of the 50 times it knows: use fewer"),
    ],
)
def test_what_a_consistency_model_was_not_made_for_is_warned_of(saved, settings, message):
    model = Diffusers(saved(consistency_model, diffusers.LCMScheduler(**BETAS, clip_sample=False))).load()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        (planned,) = plan(Sweep(prompts=PROMPTS, **settings), "m", model, PROMPTS)
    found = [str(one.message) for one in seen if "consistency model" in str(one.message)]
    assert not planned.refused
    assert bool(found) == bool(message)
    if message:
        assert re.search(message, found[0])


def test_a_missing_package_is_named_with_the_command_that_installs_it(saved, monkeypatch):
    folder = saved(stable_diffusion, diffusers.DDIMScheduler(**SD15))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transformers" else find(name))
    with pytest.raises(ImportError, match=r"transformers: pip install 'sigmabench\[pipelines\]'"):
        Diffusers(folder).load()


def test_pipelines_that_need_more_than_a_prompt_are_refused_by_name(saved, tmp_path):
    folder = shutil.copytree(saved(stable_diffusion, diffusers.DDIMScheduler(**SD15)), tmp_path / "img2img")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"))
    with pytest.raises(ValueError, match="StableDiffusionImg2ImgPipeline cannot be run from prompts alone"):
        Diffusers(str(folder)).load()


def test_unknown_schedulers_are_refused_by_name(saved, tmp_path):
    folder = shutil.copytree(saved(stable_diffusion, diffusers.DDIMScheduler(**SD15)), tmp_path / "edm")
    diffusers.EDMEulerScheduler().save_pretrained(folder / "scheduler")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("DDIMScheduler", "EDMEulerScheduler"))
    with pytest.raises(ValueError, match=r"EDMEulerScheduler.*legal are"):
        Diffusers(str(folder)).load()

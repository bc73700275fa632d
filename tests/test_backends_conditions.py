"""Models without text, what makes two models of a sweep different ones, and settings that do not go together."""

import re
import sys

import pytest
import torch

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from stock_pipelines import STEPS, drawn, near, noise, ours, picture, stock  # noqa: E402
from tiny_pipelines import SD15, dit, pixel_unet, stable_diffusion  # noqa: E402

from sigmabench.eval.backends.diffusers_pipeline import Diffusers  # noqa: E402


@pytest.fixture
def path(saved):
    return saved(stable_diffusion, diffusers.DDIMScheduler(**SD15))


def test_unconditional_pixel_models_give_the_stock_pipelines_images(tmp_path):
    network = pixel_unet()
    pipe = diffusers.DDIMPipeline(network, diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing"))
    pipe.save_pretrained(tmp_path / "ddpm")
    model = Diffusers(str(tmp_path / "ddpm")).load()
    x = ours(model, "cfg(1)", prompts=["", ""])
    module = sys.modules[type(pipe).__module__]
    original, module.randn_tensor = module.randn_tensor, lambda *args, **kwargs: noise(model)
    try:
        expected = pipe(batch_size=2, num_inference_steps=STEPS, output_type="np").images
    finally:
        module.randn_tensor = original
    near((x / 2 + 0.5).clamp(0, 1), torch.from_numpy(expected).permute(0, 3, 1, 2))


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_dit_makes_classes_and_its_variance_is_left_out(saved, scale):
    folder = saved(dit, diffusers.DDIMScheduler(**SD15))
    model = Diffusers(folder).load()
    assert (model.network.config.out_channels, model.shape) == (8, (4, 8, 8))
    result = ours(model, f"cfg({scale})", prompts=["207", "3"])
    pipe = stock(folder)
    seen, decode = [], pipe.vae.decode
    pipe.vae.decode = lambda z: seen.append(z) or decode(z)
    with drawn(pipe, model):
        pipe([207, 3], guidance_scale=scale, num_inference_steps=STEPS, output_type="np")
    near(result / pipe.vae.config.scaling_factor, seen[0])
    assert model.decode(result).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"prompt 'a cat' must be one of 0 \.\.\. 999"):
        model.encode(["a cat"])


def test_the_id_follows_settings_and_contents_of_files(path, tmp_path):
    file, copy = picture(tmp_path), tmp_path / "picture.png"
    (tmp_path / "own").mkdir()
    own = tmp_path / "own" / "picture.png"
    for other in (copy, own):
        Image.open(file).save(other)
    plain, first, again, weaker = (
        Diffusers(path, **more).load().id
        for more in ({}, {"image": str(copy)}, {"image": str(own)}, {"image": str(own), "strength": 0.5})
    )
    assert first == again
    assert re.fullmatch(re.escape(plain) + r"\(image=picture-[0-9a-f]{8}, strength=0.5\)", weaker)
    assert len({plain, first, weaker, Diffusers(path, height=32).load().id}) == 4
    Image.new("RGB", (16, 16)).save(own)
    assert Diffusers(path, image=str(own)).load().id != first


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"controlnet": "x"}, ValueError, "controlnet = 'x' needs control_image, which is not given"),
        ({"strength": 0.5}, ValueError, "strength = 0.5 needs image, which is not given"),
        ({"mask": "x.png"}, ValueError, "mask = 'x.png' needs image"),
        ({"lora": "x.ckpt"}, ValueError, r"lora = 'x.ckpt': must be a .safetensors file"),
        ({"lora": "/no/x.safetensors"}, FileNotFoundError, r"lora = '/no/x.safetensors' is not here"),
        ({"offload": "model"}, ValueError, "offload = 'model' needs an accelerator"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_by_name(path, settings, error, message):
    with pytest.raises(error, match=message):
        Diffusers(path, **settings).load()


def test_a_file_that_is_no_image_and_a_lora_of_another_model_are_refused(path, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(ValueError, match=r"text.png is not an image that can be read"):
        Diffusers(path, image=str(text)).load()
    pytest.importorskip("peft")
    save_file({"transformer.blocks.0.lora_A.weight": torch.zeros(2, 8)}, tmp_path / "flux.safetensors")
    with pytest.raises(ValueError, match=r"StableDiffusionPipeline cannot take lora = "):
        Diffusers(path, lora=str(tmp_path / "flux.safetensors")).load()


def test_strength_that_leaves_no_step_is_refused(path, tmp_path):
    model = Diffusers(path, image=picture(tmp_path), strength=0.1).load()
    with pytest.raises(ValueError, match=r"strength = 0.1 of 5 steps is less than one step"):
        ours(model, "none")

"""What is added to a diffusers pipeline, and what it starts from: against stock pipelines, saved and loaded by path."""

import re
import sys

import numpy as np
import pytest
import torch

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Latents  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from tiny_pipelines import (  # noqa: E402
    SD15,
    controlnet,
    deepfloyd,
    dit,
    flux,
    flux_controlnet,
    sd3_controlnet,
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
    unet,
)

from sigmabench.eval.backends.diffusers_pipeline import Diffusers  # noqa: E402
from sigmabench.eval.cells import Cell  # noqa: E402
from sigmabench.eval.engine import generate  # noqa: E402
from sigmabench.eval.jobs import Job  # noqa: E402
from sigmabench.eval.protocols import Sample  # noqa: E402
from sigmabench.eval.results import results  # noqa: E402
from sigmabench.eval.runner import Runner  # noqa: E402
from sigmabench.eval.store import Store  # noqa: E402
from sigmabench.eval.sweep import Sweep  # noqa: E402
from sigmabench.samplers.noise import SeededNoise  # noqa: E402

PROMPTS = ["a cat on a mat", "two dogs"]
STEPS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pipelines that were saved, a ControlNet, a picture and a mask."""
    root = tmp_path_factory.mktemp("conditions")
    for make in (stable_diffusion, stable_diffusion_xl, dit):
        make(diffusers.DDIMScheduler(**SD15)).save_pretrained(root / make.__name__)
    controlnet(diffusers.DDIMScheduler(**SD15)).controlnet.save_pretrained(root / "controlnet")
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(root / "picture.png")
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 8:] = 255
    Image.fromarray(mask).save(root / "mask.png")
    return root


def samples():
    return [Sample(i, 7 + i, prompt) for i, prompt in enumerate(PROMPTS)]


def ours(model, guidance, prompts=PROMPTS, sampler="euler"):
    """Clean x as the harness makes it."""
    cell = Cell(model.id, sampler, "model", "trailing", STEPS, guidance, "", 7, "float32")
    chosen = [Sample(i, 7 + i, prompt) for i, prompt in enumerate(prompts)]
    return generate(model, [Job(cell, chosen)])[0]


def noise(model):
    return SeededNoise([sample.seed for sample in samples()], model.shape, "cpu").initial()


def trailing(pipe):
    options = {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": True}
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stock(folder, name="stable_diffusion"):
    return trailing(diffusers.DiffusionPipeline.from_pretrained(folder / name))


def images(pipe, model, scale, **options):
    return pipe(
        PROMPTS, latents=noise(model), num_inference_steps=STEPS, guidance_scale=scale, output_type="latent", **options
    ).images


def near(a, b):
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def lora_file(folder, kohya=False):
    """A LoRA of rank 2, of alpha 1 in the format of kohya and else 2, and what it adds to the weights of each layer."""
    torch.manual_seed(3)
    attention = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    layers = {f"unet.{attention}.to_q": (8, 8), f"unet.{attention}.to_v": (8, 8)}
    layers["text_encoder.text_model.encoder.layers.0.self_attn.out_proj"] = (16, 16)
    added, tensors = {}, {}
    for layer, (rows, columns) in layers.items():
        down, up = torch.randn(2, columns), torch.randn(rows, 2) / 4
        added[layer] = up @ down
        if kohya:
            name = "lora_" + layer.replace("text_encoder", "te").replace(".", "_")
            tensors |= {
                f"{name}.lora_down.weight": down,
                f"{name}.lora_up.weight": up,
                f"{name}.alpha": torch.tensor(1.0),
            }
            added[layer] = added[layer] / 2
        else:
            tensors |= {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
    save_file(tensors, folder / "lora.safetensors")
    return str(folder / "lora.safetensors"), added


@pytest.mark.parametrize("kohya", [False, True])
@pytest.mark.parametrize("scale", [0.0, 0.7])
def test_a_lora_is_added_to_the_weights(folder, scale, kohya):
    pytest.importorskip("peft")
    file, added = lora_file(folder, kohya)
    model = Diffusers(str(folder / "stable_diffusion"), lora=file, lora_scale=scale).load()
    pipe = stock(folder)
    for layer, delta in added.items():
        component, _, name = layer.partition(".")
        prefix = "" if component == "unet" or hasattr(pipe.text_encoder, "text_model") else "text_model."
        getattr(pipe, component).get_submodule(name.removeprefix(prefix)).weight.data += scale * delta
    near(ours(model, "cfg(5)"), images(pipe, model, 5.0))


def test_a_sweep_over_the_scale_of_a_lora(folder, tmp_path):
    pytest.importorskip("peft")
    file, _ = lora_file(folder)
    path = folder / "stable_diffusion"
    added = [f"diffusers(path='{path}', lora='{file}', lora_scale={scale})" for scale in (0.0, 0.5, 1.0)]
    sweep = Sweep(
        models=[f"diffusers(path='{path}')", *added], prompts=PROMPTS, samplers=["euler"], spacings=["trailing"],
        guidance=["cfg(1)"], steps=[3], images=4, metrics=["luminance"],
    )  # fmt: skip
    runner = Runner(sweep, tmp_path)
    outcome = runner.run(lambda images, cell: None)
    assert (outcome.made, outcome.failed) == (16, {})
    value = results(runner.plan, Store(tmp_path)).set_index("model")["value"]
    without, none, half, whole = (value[planned.cell.model] for planned in runner.plan.cells)
    assert without == none
    assert len({none, half, whole}) == 3


def test_an_embedding_is_a_word_of_the_prompts(folder):
    torch.manual_seed(4)
    save_file({"<cat>": torch.randn(2, 16)}, folder / "embedding.safetensors")
    file = str(folder / "embedding.safetensors")
    model = Diffusers(str(folder / "stable_diffusion"), embedding=file).load()
    pipe = stock(folder)
    pipe.load_textual_inversion(file)
    states = pipe.encode_prompt("a <cat>", "cpu", 1, False)[0]
    near(model.encode(["a <cat>"])["encoder_hidden_states"], states)
    assert not torch.allclose(states, stock(folder).encode_prompt("a <cat>", "cpu", 1, False)[0], atol=0.1)
    named = Diffusers(str(folder / "stable_diffusion"), embedding=file, token="<dog>").load()
    near(named.encode(["a <dog>"])["encoder_hidden_states"], states)


def test_an_embedding_of_sdxl_is_a_word_for_both_encoders(folder):
    torch.manual_seed(5)
    save_file({"clip_l": torch.randn(1, 16), "clip_g": torch.randn(1, 16)}, folder / "two.safetensors")
    path, file = str(folder / "stable_diffusion_xl"), str(folder / "two.safetensors")
    with pytest.raises(ValueError, match=r"embedding = .*does not name its word; set token"):
        Diffusers(path, embedding=file).load()
    plain, model = Diffusers(path).load(), Diffusers(path, embedding=file, token="<cat>").load()
    before, after = (one.encode(["a <cat>"])["encoder_hidden_states"] for one in (plain, model))
    assert (before[..., :16] - after[..., :16]).abs().max() > 0.1
    assert (before[..., 16:] - after[..., 16:]).abs().max() > 0.1
    near(plain.encode(["a cat"])["encoder_hidden_states"], model.encode(["a cat"])["encoder_hidden_states"])


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_a_controlnet_is_asked_at_every_level(folder, scale):
    picture = str(folder / "picture.png")
    model = Diffusers(
        str(folder / "stable_diffusion"),
        controlnet=str(folder / "controlnet"),
        control_image=picture,
        control_scale=0.8,
    ).load()
    pipe = trailing(
        diffusers.StableDiffusionControlNetPipeline(
            **stock(folder).components, requires_safety_checker=False,
            controlnet=diffusers.ControlNetModel.from_pretrained(folder / "controlnet"),
        )
    )  # fmt: skip
    expected = images(pipe, model, scale, image=Image.open(picture), controlnet_conditioning_scale=0.8)
    near(ours(model, f"cfg({scale})"), expected)
    assert (expected - images(stock(folder), model, scale)).abs().max() > 0.01


def test_a_controlnet_goes_together_with_image_to_image(folder):
    picture, control = str(folder / "picture.png"), str(folder / "controlnet")
    model = Diffusers(
        str(folder / "stable_diffusion"), controlnet=control, control_image=picture, image=picture, strength=0.6
    ).load()
    pipe = trailing(
        diffusers.StableDiffusionControlNetImg2ImgPipeline(
            **stock(folder).components, requires_safety_checker=False,
            controlnet=diffusers.ControlNetModel.from_pretrained(control),
        )
    )  # fmt: skip
    z, controlling = model.source.z.expand(2, -1, -1, -1), Image.open(picture)
    options = {"controlnet_conditioning_scale": 1.0, "height": 16, "width": 16}
    near(
        ours(model, "cfg(5)"),
        from_noise_of(model, pipe, image=z, control_image=controlling, strength=0.6, **options)[0],
    )


@pytest.mark.parametrize(
    ("make", "control", "stock_class", "sizes", "guidance"),
    [
        (flux, flux_controlnet, diffusers.FluxControlNetPipeline, {"height": 16, "width": 16}, "cfg(1)"),
        (stable_diffusion_3, sd3_controlnet, diffusers.StableDiffusion3ControlNetPipeline, {}, "cfg(3.5)"),
    ],
)
def test_controlnets_of_transformers(folder, tmp_path, monkeypatch, make, control, stock_class, sizes, guidance):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    pipe, network, picture = make(scheduler), control(), str(folder / "picture.png")
    pipe.save_pretrained(tmp_path / "pipe")
    network.save_pretrained(tmp_path / "control")
    settings = {"controlnet": str(tmp_path / "control"), "control_image": picture, **sizes}
    model = Diffusers(str(tmp_path / "pipe"), **settings).load()
    monkeypatch.setattr(Latents, "sample", lambda self, generator=None: self.mode())
    expected = stock_class(**pipe.components, controlnet=network)(
        PROMPTS, control_image=Image.open(picture), latents=noise(model), num_inference_steps=STEPS,
        sigmas=[1 - i / STEPS for i in range(STEPS)], guidance_scale=3.5, output_type="latent", **sizes,
    ).images  # fmt: skip
    near(ours(model, guidance), expected)
    assert (expected - ours(Diffusers(str(tmp_path / "pipe"), **sizes).load(), guidance)).abs().max() > 0.01


def test_an_ip_adapter_sees_an_image(folder):
    file, picture = ip_adapter_file(folder), str(folder / "picture.png")
    path = str(folder / "stable_diffusion")
    model = Diffusers(path, ip_adapter=file, ip_image=picture, ip_scale=0.7).load()
    pipe = stock(folder)
    pipe.load_ip_adapter(str(folder), subfolder="", weight_name="ip.safetensors")
    pipe.set_ip_adapter_scale(0.7)
    expected = images(pipe, model, 5.0, ip_adapter_image=Image.open(picture))
    near(ours(model, "cfg(5)"), expected)
    assert (expected - images(stock(folder), model, 5.0)).abs().max() > 0.01


def ip_adapter_file(folder):
    """An IP-Adapter for the small U-Net, with its image encoder beside it."""
    torch.manual_seed(6)
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8,
        projection_dim=16,
    )  # fmt: skip
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")
    tensors = {
        "image_proj.proj.weight": torch.randn(4 * 16, 16), "image_proj.proj.bias": torch.randn(64),
        "image_proj.norm.weight": torch.ones(16), "image_proj.norm.bias": torch.zeros(16),
    }  # fmt: skip
    unet = stock(folder).unet
    for i, name in enumerate(name for name in unet.attn_processors if name.endswith("attn2.processor")):
        width = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
        for part in ("k", "v"):
            tensors[f"ip_adapter.{2 * i + 1}.to_{part}_ip.weight"] = torch.randn(width, 16)
    save_file(tensors, folder / "ip.safetensors")
    return str(folder / "ip.safetensors")


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_image_to_image_starts_from_the_noised_image(folder, strength):
    model = Diffusers(str(folder / "stable_diffusion"), image=str(folder / "picture.png"), strength=strength).load()
    pipe = trailing(diffusers.StableDiffusionImg2ImgPipeline(**stock(folder).components, requires_safety_checker=False))
    expected = from_noise_of(model, pipe, image=model.source.z.expand(2, -1, -1, -1), strength=strength).images
    near(ours(model, "cfg(5)"), expected)


def test_the_latents_of_an_image_are_the_autoencoders_mean(folder):
    model = Diffusers(str(folder / "stable_diffusion"), image=str(folder / "picture.png")).load()
    pipe = stock(folder)
    with torch.no_grad():
        mean = pipe.vae.encode(pipe.image_processor.preprocess(Image.open(folder / "picture.png"))).latent_dist.mean
    near(model.source.z, mean * pipe.vae.config.scaling_factor)


def test_inpainting_keeps_what_is_black(folder):
    picture, mask = str(folder / "picture.png"), str(folder / "mask.png")
    model = Diffusers(str(folder / "stable_diffusion"), image=picture, mask=mask, strength=0.8).load()
    pipe = trailing(diffusers.StableDiffusionInpaintPipeline(**stock(folder).components, requires_safety_checker=False))
    z = model.source.z.expand(2, -1, -1, -1)
    expected = from_noise_of(
        model, pipe, image=z, mask_image=Image.open(mask), masked_image_latents=z, strength=0.8
    ).images
    x = ours(model, "cfg(5)")
    near(x, expected)
    near(x[..., :4], z[..., :4])
    assert (x[..., 4:] - z[..., 4:]).abs().min() > 0


def from_noise_of(model, pipe, prompts=PROMPTS, **options):
    """What a stock pipeline gives if the first noise that it draws is ours."""
    module, begin = sys.modules[type(pipe).__module__], [noise(model)]
    original = module.randn_tensor

    def drawn(*args, **kwargs):
        own = original(*args, **kwargs)
        return begin.pop() if begin else own

    module.randn_tensor = drawn
    try:
        return pipe(
            prompts, **{"num_inference_steps": STEPS, "guidance_scale": 5.0, "output_type": "latent", **options}
        )
    finally:
        module.randn_tensor = original


def test_networks_made_for_inpainting_are_given_mask_and_image_as_channels(folder, tmp_path, monkeypatch):
    torch.manual_seed(8)
    pipe = diffusers.StableDiffusionInpaintPipeline(
        **{**stock(folder).components, "unet": unet(in_channels=9)}, requires_safety_checker=False
    )
    pipe.save_pretrained(tmp_path / "inpainting")
    picture, mask = str(folder / "picture.png"), str(folder / "mask.png")
    model = Diffusers(str(tmp_path / "inpainting"), image=picture, mask=mask).load()
    assert (model.shape, model.encode(PROMPTS)["channels"].shape) == ((4, 8, 8), (2, 5, 8, 8))
    monkeypatch.setattr(Latents, "sample", lambda self, generator=None: self.mode())
    expected = images(trailing(pipe), model, 5.0, image=Image.open(picture), mask_image=Image.open(mask), strength=1.0)
    near(ours(model, "cfg(5)"), expected)


def test_super_resolution_is_given_the_small_image_as_channels(folder, tmp_path):
    base = stock(folder).components
    network = unet(in_channels=7, num_class_embeds=100)
    pipe = diffusers.StableDiffusionUpscalePipeline(
        base["vae"], base["text_encoder"], base["tokenizer"], network, diffusers.DDPMScheduler(),
        diffusers.DDIMScheduler(**SD15),
    )  # fmt: skip
    pipe.save_pretrained(tmp_path / "upscale")
    small = Image.open(folder / "picture.png").resize((8, 8))
    small.save(tmp_path / "small.png")
    model = Diffusers(str(tmp_path / "upscale"), image=str(tmp_path / "small.png")).load()
    assert {"channels", "class_labels"} <= {*model.encode(PROMPTS)} | {"class_labels"}
    seed = [torch.Generator().manual_seed(0) for _ in PROMPTS]
    expected = images(trailing(pipe), model, 5.0, image=[small, small], generator=seed)
    near(ours(model, "cfg(5)"), expected)
    assert model.decode(expected).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match="strength: StableDiffusionUpscalePipeline does not start from its image"):
        Diffusers(str(tmp_path / "upscale"), image=str(tmp_path / "small.png"), strength=0.5).load()


@pytest.mark.parametrize("small", [None, 8])
def test_both_stages_of_a_cascade_in_pixels(tmp_path, small):
    scheduler = diffusers.DDPMScheduler(variance_type="learned_range")
    deepfloyd(scheduler, small).save_pretrained(tmp_path / "if")
    settings, options = {}, {}
    if small:
        random = np.random.default_rng(1)
        Image.fromarray(random.integers(0, 255, (small, small, 3), dtype=np.uint8)).save(tmp_path / "small.png")
        settings = {"image": str(tmp_path / "small.png")}
        options = {"image": [Image.open(tmp_path / "small.png")] * 2}
    model = Diffusers(str(tmp_path / "if"), **settings).load()
    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "if")
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        pipe.scheduler.config, solver_order=1, timestep_spacing="trailing", variance_type=None
    )
    seeds = [torch.Generator().manual_seed(0) for _ in PROMPTS]
    expected = from_noise_of(model, pipe, generator=seeds, output_type="pt", **options).images
    near((ours(model, "cfg(5)") / 2 + 0.5).clamp(0, 1), (expected / 2 + 0.5).clamp(0, 1))


def test_unconditional_pixel_models_give_the_stock_pipelines_images(tmp_path):
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
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
def test_dit_makes_classes(folder, scale):
    model = Diffusers(str(folder / "dit")).load()
    result = ours(model, f"cfg({scale})", prompts=["207", "3"])
    pipe = stock(folder, "dit")
    seen, decode = [], pipe.vae.decode
    pipe.vae.decode = lambda z: seen.append(z) or decode(z)
    from_noise_of(model, pipe, [207, 3], guidance_scale=scale, output_type="np")
    near(result / pipe.vae.config.scaling_factor, seen[0])
    assert model.decode(result).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"prompt 'a cat' must be one of 0 \.\.\. 999"):
        model.encode(["a cat"])


def test_the_id_follows_settings_and_contents_of_files(folder, tmp_path):
    path, picture = str(folder / "stable_diffusion"), folder / "picture.png"
    copy = tmp_path / "picture.png"
    copy.write_bytes(picture.read_bytes())
    plain, first, again, weaker = (
        Diffusers(path, **more).load().id
        for more in ({}, {"image": str(picture)}, {"image": str(copy)}, {"image": str(copy), "strength": 0.5})
    )
    assert first == again
    assert re.fullmatch(re.escape(plain) + r"\(image=picture-[0-9a-f]{8}, strength=0.5\)", weaker)
    assert len({plain, first, weaker, Diffusers(path, height=32).load().id}) == 4
    Image.new("RGB", (16, 16)).save(copy)
    assert Diffusers(path, image=str(copy)).load().id != first


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
def test_settings_that_do_not_go_together_are_refused_by_name(folder, settings, error, message):
    with pytest.raises(error, match=message):
        Diffusers(str(folder / "stable_diffusion"), **settings).load()


def test_a_file_that_is_no_image_and_a_lora_of_another_model_are_refused(folder, tmp_path):
    path, text = str(folder / "stable_diffusion"), tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(ValueError, match=r"text.png is not an image that can be read"):
        Diffusers(path, image=str(text)).load()
    pytest.importorskip("peft")
    save_file({"transformer.blocks.0.lora_A.weight": torch.zeros(2, 8)}, tmp_path / "flux.safetensors")
    with pytest.raises(ValueError, match=r"StableDiffusionPipeline cannot take lora = "):
        Diffusers(path, lora=str(tmp_path / "flux.safetensors")).load()


def test_strength_that_leaves_no_step_is_refused(folder):
    model = Diffusers(str(folder / "stable_diffusion"), image=str(folder / "picture.png"), strength=0.1).load()
    with pytest.raises(ValueError, match=r"strength = 0.1 of 5 steps is less than one step"):
        ours(model, "none")

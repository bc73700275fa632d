"""LoRA, textual inversion, ControlNet and IP-Adapter of a sweep's model, against the stock pipelines that take them."""

import pytest
import torch

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from stock_pipelines import EVEN, PROMPTS, mean_latents, near, ours, picture, stock, theirs  # noqa: E402
from tiny_pipelines import (  # noqa: E402
    SD15,
    controlnet_of,
    flux,
    flux_controlnet,
    sd3_controlnet,
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
)

from sigmabench.eval.backends.diffusers_pipeline import Diffusers  # noqa: E402
from sigmabench.eval.results import results  # noqa: E402
from sigmabench.eval.runner import Runner  # noqa: E402
from sigmabench.eval.store import Store  # noqa: E402
from sigmabench.eval.sweep import Sweep  # noqa: E402

SD, SDXL = stable_diffusion, stable_diffusion_xl
UNETS = pytest.mark.parametrize("make", [SD, SDXL])
ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
OUT = "text_model.encoder.layers.0.self_attn.out_proj"
LAYERS = {
    SD: {f"unet.{ATTENTION}.to_q": (8, 8), f"unet.{ATTENTION}.to_v": (8, 8), f"text_encoder.{OUT}": (16, 16)},
    SDXL: {f"unet.{ATTENTION}.to_q": (8, 8), f"text_encoder.{OUT}": (16, 16), f"text_encoder_2.{OUT}": (16, 16)},
    stable_diffusion_3: {"transformer.transformer_blocks.0.attn.to_q": (16, 16)},
    flux: {"transformer.single_transformer_blocks.0.attn.to_k": (32, 32)},
}


@pytest.fixture
def folder(saved):
    def of(make):
        flow = make in (stable_diffusion_3, flux)
        return saved(make, diffusers.FlowMatchEulerDiscreteScheduler() if flow else diffusers.DDIMScheduler(**SD15))

    return of


def lora_file(layers, folder, kohya=False):
    """A LoRA of rank 2, of alpha 1 in the format of kohya and else 2, and what it adds to the weights of each layer."""
    torch.manual_seed(3)
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


@pytest.mark.parametrize(
    ("make", "kohya", "scale"),
    [(SD, False, 0.7), (SD, True, 0.7), (SDXL, False, 0.7), (stable_diffusion_3, False, 0.7), (flux, False, 0.7)],
)
def test_a_lora_is_added_to_the_weights(folder, tmp_path, make, kohya, scale):
    pytest.importorskip("peft")
    file, added = lora_file(LAYERS[make], tmp_path, kohya)
    size = {"height": 16, "width": 16} if make is flux else {}
    model = Diffusers(folder(make), lora=file, lora_scale=scale, **size).load()
    flow = make in (stable_diffusion_3, flux)
    pipe = stock(folder(make), None if flow else diffusers.DDIMScheduler)
    for layer, delta in added.items():
        component, _, name = layer.partition(".")
        part = getattr(pipe, component)
        if component.startswith("text") and not hasattr(part, "text_model"):
            name = name.removeprefix("text_model.")
        part.get_submodule(name).weight.data += scale * delta
    guidance, options = (f"cfg({1 if make is flux else 5})", {"sigmas": EVEN, **size} if flow else {})
    near(ours(model, guidance), theirs(pipe, model, 3.5 if make is flux else 5.0, **options))


def test_a_sweep_over_the_scale_of_a_lora(folder, tmp_path):
    pytest.importorskip("peft")
    file, _ = lora_file(LAYERS[SD], tmp_path)
    path = folder(SD)
    added = [f"diffusers(path='{path}', lora='{file}', lora_scale={scale})" for scale in (0.0, 0.5, 1.0)]
    value = swept([f"diffusers(path='{path}')", *added], tmp_path / "run")
    assert value[0] == value[1]
    assert len({*value}) == 3


def swept(models, folder):
    """Brightness by model, as a sweep of two steps on two images finds it."""
    sweep = Sweep(
        models=models, prompts=PROMPTS, samplers=["euler"], spacings=["trailing"], guidance=["cfg(2)"], steps=[2],
        images=2, metrics=["luminance"],
    )  # fmt: skip
    runner = Runner(sweep, folder)
    outcome = runner.run(lambda images, cell: None)
    assert (outcome.made, outcome.failed) == (2 * len(models), {})
    value = results(runner.plan, Store(folder)).set_index("model")["value"]
    return [value[planned.cell.model] for planned in runner.plan.cells]


def test_everything_that_can_be_added_to_sdxl_is_a_field_of_a_sweep(folder, tmp_path):
    pytest.importorskip("peft")
    path, image = folder(SDXL), picture(tmp_path)
    file, _ = lora_file(LAYERS[SDXL], tmp_path)
    control, adapter = control_folder(SDXL, folder, tmp_path), ip_adapter_file(SDXL, folder, tmp_path)
    save_file({"clip_l": torch.randn(1, 16), "clip_g": torch.randn(1, 16)}, tmp_path / "two.safetensors")
    added = [
        "", f", lora='{file}', embedding='{tmp_path / 'two.safetensors'}', token='mat'",
        f", lora='{file}', controlnet='{control}', control_image='{image}', ip_adapter='{adapter}', ip_image='{image}'",
    ]  # fmt: skip
    value = swept([f"diffusers(path='{path}'{more})" for more in added], tmp_path / "run")
    assert len({*value}) == len(added), value


def test_an_embedding_is_a_word_of_the_prompts(folder, tmp_path):
    torch.manual_seed(4)
    save_file({"<cat>": torch.randn(2, 16)}, tmp_path / "embedding.safetensors")
    file = str(tmp_path / "embedding.safetensors")
    model = Diffusers(folder(SD), embedding=file).load()
    pipe = stock(folder(SD))
    pipe.load_textual_inversion(file)
    states = pipe.encode_prompt("a <cat>", "cpu", 1, False)[0]
    near(model.encode(["a <cat>"])["encoder_hidden_states"], states)
    assert not torch.allclose(states, stock(folder(SD)).encode_prompt("a <cat>", "cpu", 1, False)[0], atol=0.1)
    named = Diffusers(folder(SD), embedding=file, token="<dog>").load()
    near(named.encode(["a <dog>"])["encoder_hidden_states"], states)


def test_an_embedding_of_sdxl_is_a_word_for_both_encoders(folder, tmp_path):
    torch.manual_seed(5)
    save_file({"clip_l": torch.randn(1, 16), "clip_g": torch.randn(1, 16)}, tmp_path / "two.safetensors")
    path, file = folder(SDXL), str(tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match=r"embedding = .*does not name its word; set token"):
        Diffusers(path, embedding=file).load()
    plain, model = Diffusers(path).load(), Diffusers(path, embedding=file, token="<cat>").load()
    before, after = (one.encode(["a <cat>"])["encoder_hidden_states"] for one in (plain, model))
    assert (before[..., :16] - after[..., :16]).abs().max() > 0.1
    assert (before[..., 16:] - after[..., 16:]).abs().max() > 0.1
    near(plain.encode(["a cat"])["encoder_hidden_states"], model.encode(["a cat"])["encoder_hidden_states"])


def control_folder(make, folder, tmp_path):
    """A ControlNet for the U-Net of that pipeline."""
    if not (tmp_path / "controlnet").exists():
        controlnet_of(stock(folder(make)).unet).save_pretrained(tmp_path / "controlnet")
    return str(tmp_path / "controlnet")


CONTROLLED = {
    SD: diffusers.StableDiffusionControlNetPipeline,
    SDXL: diffusers.StableDiffusionXLControlNetPipeline,
}


@UNETS
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_a_controlnet_is_asked_at_every_level(folder, tmp_path, make, scale):
    control, image = control_folder(make, folder, tmp_path), picture(tmp_path)
    settings = {"controlnet": control, "control_image": image, "control_scale": 0.8}
    model = Diffusers(folder(make), **settings).load()
    network = diffusers.ControlNetModel.from_pretrained(control)
    pipe = stock(folder(make), kind=CONTROLLED[make], controlnet=network)
    expected = theirs(pipe, model, scale, image=Image.open(image), controlnet_conditioning_scale=0.8)
    near(ours(model, f"cfg({scale})"), expected)
    assert (expected - theirs(stock(folder(make)), model, scale)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("make", "control", "stock_class", "sizes", "guidance"),
    [
        (flux, flux_controlnet, diffusers.FluxControlNetPipeline, {"height": 16, "width": 16}, "cfg(1)"),
        (stable_diffusion_3, sd3_controlnet, diffusers.StableDiffusion3ControlNetPipeline, {}, "cfg(3.5)"),
    ],
)
def test_controlnets_of_transformers(folder, tmp_path, make, control, stock_class, sizes, guidance):
    network, image = control(), picture(tmp_path)
    network.save_pretrained(tmp_path / "control")
    settings = {"controlnet": str(tmp_path / "control"), "control_image": image, **sizes}
    model = Diffusers(folder(make), **settings).load()
    pipe = stock(folder(make), None, kind=stock_class, controlnet=network)
    with mean_latents():
        expected = theirs(pipe, model, 3.5, control_image=Image.open(image), sigmas=EVEN, **sizes)
    near(ours(model, guidance), expected)
    assert (expected - ours(Diffusers(folder(make), **sizes).load(), guidance)).abs().max() > 0.01


@UNETS
def test_an_ip_adapter_sees_an_image(folder, tmp_path, make):
    file, image = ip_adapter_file(make, folder, tmp_path), picture(tmp_path)
    model = Diffusers(folder(make), ip_adapter=file, ip_image=image, ip_scale=0.7).load()
    pipe = stock(folder(make))
    pipe.load_ip_adapter(str(tmp_path), subfolder="", weight_name="ip.safetensors")
    pipe.set_ip_adapter_scale(0.7)
    expected = theirs(pipe, model, 5.0, ip_adapter_image=Image.open(image))
    near(ours(model, "cfg(5)"), expected)
    assert (expected - theirs(stock(folder(make)), model, 5.0)).abs().max() > 0.01


def test_an_ip_adapter_of_a_transformer_is_refused(folder, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "ip.safetensors")
    with pytest.raises(ValueError, match=r"cannot take ip_adapter = .*: its network is no U-Net, and IP-Adapters are"):
        Diffusers(folder(flux), ip_adapter=str(tmp_path / "ip.safetensors"), ip_image=picture(tmp_path)).load()


def ip_adapter_file(make, folder, tmp_path):
    """An IP-Adapter for the U-Net of that pipeline, with its image encoder beside it."""
    torch.manual_seed(6)
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8,
        projection_dim=16,
    )  # fmt: skip
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "image_encoder")
    unet = stock(folder(make)).unet
    crossed = unet.config.cross_attention_dim
    tensors = {
        "image_proj.proj.weight": torch.randn(4 * crossed, 16), "image_proj.proj.bias": torch.randn(4 * crossed),
        "image_proj.norm.weight": torch.ones(crossed), "image_proj.norm.bias": torch.zeros(crossed),
    }  # fmt: skip
    for i, name in enumerate(name for name in unet.attn_processors if name.endswith("attn2.processor")):
        width = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
        for part in ("k", "v"):
            tensors[f"ip_adapter.{2 * i + 1}.to_{part}_ip.weight"] = torch.randn(width, crossed)
    save_file(tensors, tmp_path / "ip.safetensors")
    return str(tmp_path / "ip.safetensors")

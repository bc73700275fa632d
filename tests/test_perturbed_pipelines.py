"""Whole pipelines with something changed inside, against those that diffusers has for it."""

import functools

import pytest

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch  # noqa: E402
from tiny_pipelines import chroma, flux, pixart, sana, stable_diffusion, stable_diffusion_3, stable_diffusion_xl  # noqa: E402

from sigmabench.eval.backends.diffusers_pipeline import Diffusers  # noqa: E402
from sigmabench.eval.branches import networks  # noqa: E402
from sigmabench.eval.cells import branches, plan, samples  # noqa: E402
from sigmabench.eval.engine import Job, counted, generate  # noqa: E402
from sigmabench.eval.sweep import Sweep  # noqa: E402
from sigmabench.samplers.noise import SeededNoise  # noqa: E402

PROMPTS = ["a cat on a mat", "two dogs"]
STEPS = 4
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
FLOW = diffusers.FlowMatchEulerDiscreteScheduler
PIPELINES = {
    "sd": (stable_diffusion, diffusers.DDIMScheduler(**SD), {}),
    "sdxl": (stable_diffusion_xl, diffusers.DDIMScheduler(**SD), {}),
    "sd3": (stable_diffusion_3, FLOW(shift=3.0), {}),
    "pixart": (pixart, diffusers.DDIMScheduler(clip_sample=False), {"height": 16, "width": 16}),
    "flux": (flux, FLOW(use_dynamic_shifting=True), {"height": 16, "width": 32}),
    "chroma": (chroma, FLOW(), {"height": 16, "width": 32}),
    "sana": (sana, FLOW(shift=3.0), {"height": 32, "width": 32}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``folder(name)``: where that pipeline is saved, written once."""
    saved = {}

    def of(name):
        if name not in saved:
            make, scheduler, _ = PIPELINES[name]
            saved[name] = tmp_path_factory.mktemp(name)
            pipe = make(scheduler)
            for parameter in (getattr(pipe, "unet", None) or pipe.transformer).parameters():
                parameter.data *= 1.5  # so that attention matters
            pipe.save_pretrained(saved[name])
        return str(saved[name])

    return of


@functools.cache
def loaded(path, **size):
    """One model for all tests: a change of its network lasts as long as the evaluation that asks for it."""
    return Diffusers(path, **size).load()


def planned(folder, name, guidance, **settings):
    model = loaded(folder(name), **PIPELINES[name][2])
    fields = {"steps": [STEPS], "samplers": ["euler"], "images": 2, "prompts": PROMPTS, **settings}
    sweep = Sweep(guidance=[guidance], **fields)
    (cell,) = plan(sweep, "m", model, PROMPTS)
    return model, cell, samples(sweep, PROMPTS, 0, 2)


def latents(folder, name, guidance, **settings):
    model, cell, todo = planned(folder, name, guidance, **settings)
    assert not cell.refused, cell.refused
    with counted(*networks(model, branches(cell.cell, model))) as rows:
        (x,) = generate(model, [Job(cell.cell, todo)])
    noise = SeededNoise([s.seed for s in todo], model.shape).initial()
    return x, sum(rows) / 2, noise


PAG = [
    ("sd", diffusers.StableDiffusionPAGPipeline, "mid", "mid"),
    ("sd", diffusers.StableDiffusionPAGPipeline, "down.0", "down_blocks.0"),
    ("sdxl", diffusers.StableDiffusionXLPAGPipeline, "mid", "mid"),
    ("sd3", diffusers.StableDiffusion3PAGPipeline, "1", r"transformer_blocks\.1"),
]


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize(("name", "cls", "layer", "pattern"), PAG)
def test_perturbed_attention_guidance_gives_the_latents_of_diffusers_pag_pipelines(
    folder, name, cls, layer, pattern, scale
):
    ours, cost, noise = latents(folder, name, f"pag(2.5, layers='{layer}', guidance=cfg({scale}))")
    assert cost == STEPS * (3 if scale != 1 else 2)
    missing = {"text_encoder_3": None, "tokenizer_3": None} if name == "sd3" else {}
    pipe = cls.from_pretrained(folder(name), pag_applied_layers=[pattern], **missing)
    pipe.set_progress_bar_config(disable=True)
    sigmas = {"sigmas": [1 - i / STEPS for i in range(STEPS)]} if name == "sd3" else {}
    if name != "sd3":
        own = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
        pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, **own)
    arguments = {"num_inference_steps": STEPS, "guidance_scale": scale, "pag_scale": 2.5, "output_type": "latent"}
    if name == "sd3":
        arguments.pop("num_inference_steps")
    expected = pipe(PROMPTS, latents=noise, **arguments, **sigmas).images
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert (ours - latents(folder, name, f"cfg({scale})")[0]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "cls"), [("sd", diffusers.StableDiffusionPipeline), ("sdxl", diffusers.StableDiffusionXLPipeline)]
)
def test_freeu_gives_the_latents_of_a_pipeline_with_enable_freeu(folder, name, cls):
    ours, cost, noise = latents(folder, name, "freeu(1.3, 1.4, 0.8, 0.5, guidance=cfg(4))")
    assert cost == 2 * STEPS
    pipe = cls.from_pretrained(folder(name))
    pipe.set_progress_bar_config(disable=True)
    own = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, **own)
    pipe.enable_freeu(s1=0.8, s2=0.5, b1=1.3, b2=1.4)
    expected = pipe(PROMPTS, latents=noise, num_inference_steps=STEPS, guidance_scale=4.0, output_type="latent").images
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert (ours - latents(folder, name, "cfg(4)")[0]).abs().max() > 1e-3


EVERYWHERE = ("pag", "seg", "slg", "tpg", "icg", "cads(noise=4)")
TIMED = ("tsg(noise=4)",)
UNETS = (*TIMED, "sag", "nag", "pladis", "freeu", "swg(windows=2)")
ALSO = {"sd": (*UNETS, "seg(sigma=1)"), "sdxl": UNETS, "sd3": TIMED, "flux": TIMED, "pixart": ("pladis", *TIMED)}
COST = {"nag": 2, "pladis": 2, "freeu": 2, "icg": 2, "cads": 2, "swg": 6}


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "pixart", "flux", "chroma"])
def test_every_change_that_an_architecture_can_have_has_an_effect_and_its_price(folder, name):
    plain, cost, _ = latents(folder, name, "cfg(2)")
    assert cost == 2 * STEPS
    for text in (*EVERYWHERE, *ALSO.get(name, ())):
        method, _, settings = text.rstrip(")").partition("(")
        x, cost, _ = latents(folder, name, f"{method}({', '.join(filter(None, [settings, 'guidance=cfg(2)']))})")
        assert x.isfinite().all()
        assert (x - plain).abs().max() > 1e-4, text
        assert cost == COST.get(method, 3) * STEPS


@pytest.mark.parametrize(("name", "layers"), [("sd", "mid, down.0"), ("sdxl", "mid"), ("pixart", "0")])
def test_semantic_guidance_watches_layers_of_any_size(folder, name, layers):
    x, cost, _ = latents(folder, name, f"s_cfg(2, layers='{layers}')")
    assert cost == 2 * STEPS
    assert (x - latents(folder, name, "cfg(2)")[0]).abs().max() > 1e-3
    neutral, _, _ = latents(folder, name, f"s_cfg(2, lowest=1, highest=1, layers='{layers}')")
    torch.testing.assert_close(neutral, latents(folder, name, "cfg(2)")[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "guidance", "message"),
    [
        ("sana", "pag", "SanaTransformer2DModel has .*SanaTransformerBlock.*, which cannot be changed; legal are"),
        ("flux", "nag", "has no cross-attention"),
        ("sd3", "sag", r"no layer 'mid.0.0'; there are 0, 1"),
        ("pixart", "nag", "needs a U-Net"),
        ("chroma", "tsg", "needs a network with time_embedding or timestep_embedder, not ChromaTransformer2DModel"),
        ("sd3", "freeu", "needs a U-Net with at least two stages up, not SD3Transformer2DModel"),
        ("pixart", "swg", "needs a U-Net, which takes x of any size, not PixArtTransformer2DModel"),
        ("sd3", "s_cfg", "needs blocks with self-attention and cross-attention, not 0"),
        ("sd", "classifier", "needs images that can be differentiated, as those of the embedded model"),
    ],
)
def test_what_an_architecture_cannot_have_is_refused_with_the_reason(folder, name, guidance, message):
    import re

    _, cell, _ = planned(folder, name, guidance)
    assert re.search(message, cell.refused)


def test_a_negative_prompt_is_that_of_the_stock_pipeline(folder):
    ours, _, noise = latents(folder, "sd", "negative_prompt(cfg(4))", negative="a red bird")
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder("sd"))
    pipe.set_progress_bar_config(disable=True)
    own = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, **own)
    expected = pipe(
        PROMPTS, negative_prompt=["a red bird"] * 2, latents=noise, num_inference_steps=STEPS, guidance_scale=4.0,
        output_type="latent",
    ).images  # fmt: skip
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_a_pipeline_is_guided_by_another_weaker_one(folder, tmp_path):
    make, scheduler, _ = PIPELINES["sd"]
    make(scheduler).save_pretrained(tmp_path)  # the same text encoder, another network
    weak = f"diffusers(path={str(tmp_path)!r})"
    x, cost, _ = latents(folder, "sd", f"autoguidance(2, weak={weak}, guidance=cfg(2))")
    assert cost == 3 * STEPS
    assert (x - latents(folder, "sd", "cfg(2)")[0]).abs().max() > 1e-3

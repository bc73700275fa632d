"""Models of a sweep that start from an image or are given one, against the stock pipelines that do."""

import numpy as np
import pytest
import torch

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from stock_pipelines import (  # noqa: E402
    EVEN,
    PROMPTS,
    SEED,
    STEPS,
    drawn,
    mask,
    mean_latents,
    near,
    ours,
    picture,
    stock,
    theirs,
    theirs_from_image,
)
from tiny_pipelines import (  # noqa: E402
    SD15,
    controlnet_of,
    deepfloyd,
    flux,
    refiner,
    stable_diffusion,
    stable_diffusion_3_of_16,
    stable_diffusion_xl,
    unet,
)

from sigmabench.eval.backends.diffusers_pipeline import Diffusers  # noqa: E402
from sigmabench.eval.backends.handed_on import SECOND  # noqa: E402
from sigmabench.eval.backends.source_image import pictures  # noqa: E402
from sigmabench.eval.cells import Cell, samples  # noqa: E402
from sigmabench.eval.protocols import Sample  # noqa: E402
from sigmabench.eval.results import results  # noqa: E402
from sigmabench.eval.runner import Runner  # noqa: E402
from sigmabench.eval.store import Store  # noqa: E402
from sigmabench.eval.sweep import Sweep  # noqa: E402
from sigmabench.plugins.registry import build  # noqa: E402

DDIM, FLOW = diffusers.DDIMScheduler(**SD15), diffusers.FlowMatchEulerDiscreteScheduler()
SIZE = {"height": 16, "width": 16}
FAMILIES = {
    stable_diffusion: (DDIM, "StableDiffusion{}Pipeline", {}, 5.0, "cfg(5)", SIZE),
    stable_diffusion_xl: (DDIM, "StableDiffusionXL{}Pipeline", {}, 5.0, "cfg(5)", {}),
    stable_diffusion_3_of_16: (FLOW, "StableDiffusion3{}Pipeline", {}, 5.0, "cfg(5)", SIZE),
    flux: (FLOW, "Flux{}Pipeline", SIZE, 3.5, "cfg(1)", SIZE),
}
"""Scheduler, class by task, our size, scale of theirs, guidance of ours, and the size that theirs is told."""


def starting_from(saved, make, task, **settings):
    """Our model and the stock pipeline for that task, and how each is asked."""
    scheduler, name, size, scale, guidance, told = FAMILIES[make]
    folder = saved(make, scheduler)
    kind = getattr(diffusers, name.format(task))
    pipe = stock(folder, None if scheduler is FLOW else diffusers.DDIMScheduler, kind=kind)
    options = {"sigmas": EVEN} if scheduler is FLOW else {}
    if task == "Inpaint" or make in (stable_diffusion_3_of_16, flux):
        options |= told
    return Diffusers(folder, **size, **settings).load(), pipe, scale, guidance, options


@pytest.mark.parametrize("make", FAMILIES)
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_image_to_image_starts_from_the_noised_image(saved, tmp_path, make, strength):
    file = picture(tmp_path)
    model, pipe, scale, guidance, options = starting_from(saved, make, "Img2Img", image=file, strength=strength)
    expected = theirs_from_image(pipe, model, scale, image=[Image.open(file)] * 2, strength=strength, **options)
    near(ours(model, guidance), expected)


NOISE = pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="at strength 1 diffusers starts from noise also where the image is kept"
)


@pytest.mark.parametrize(
    ("make", "strength"),
    [
        *((make, 0.6) for make in FAMILIES),
        *((make, 1.0) for make in (stable_diffusion_3_of_16, flux)),  # all noise there
        pytest.param(stable_diffusion, 1.0, marks=NOISE),
    ],
)
def test_inpainting_keeps_what_is_black(saved, tmp_path, make, strength):
    file, black = picture(tmp_path), mask(tmp_path)
    settings = {"image": file, "mask": black, "strength": strength}
    model, pipe, scale, guidance, options = starting_from(saved, make, "Inpaint", **settings)
    given = {"image": Image.open(file), "mask_image": Image.open(black), "strength": strength}
    expected = theirs_from_image(pipe, model, scale, **given, **options)
    x = ours(model, guidance)
    near(x, expected)
    kept = model.source.mask.expand_as(x) == 0
    near(x[kept], model.source.z.expand_as(x)[kept])
    assert (x - model.source.z)[~kept].abs().min() > 0


@pytest.mark.parametrize("make", [stable_diffusion, flux])
def test_the_grey_of_a_gradual_mask_is_the_time_from_which_a_place_is_made_anew(saved, tmp_path, make):
    scheduler, _, size, _, guidance, _ = FAMILIES[make]
    picture_file, grey = picture(tmp_path), tmp_path / "grey.png"
    side = Image.open(picture_file).size[0]
    quarters = np.kron(np.array([[0, 128], [128, 255]]), np.ones((side // 2, side // 2)))
    Image.fromarray(quarters.astype(np.uint8)).save(grey)
    settings = {"image": picture_file, "mask": str(grey), **size}
    model = Diffusers(saved(make, scheduler), gradual=True, **settings).load()
    plain = Diffusers(saved(make, scheduler), **{**settings, "mask": ""}).load()
    assert "gradual=True" in model.id
    own, x = model.encode(PROMPTS), torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(0))
    white, black = model.source.mask.expand_as(x) > 0.9, model.source.mask.expand_as(x) < 0.1
    middle = ~(white | black)
    assert white.any() and black.any() and middle.any()  # noqa: PT018
    levels = [model.schedule.level(time) for time in (0.8, 0.2)]
    x0, free, z = model.denoise(x, levels, own), plain.denoise(x, levels, own), model.source.z.expand_as(x)
    near(x0[white], free[white])
    near(x0[black], z[black])
    near(x0[0][middle[0]], z[0][middle[0]])
    near(x0[1][middle[1]], free[1][middle[1]])
    end = ours(model, guidance)
    near(end[black], z[black])
    assert (end - z)[middle].abs().min() > 0


def test_a_gradual_mask_needs_a_mask(saved):
    with pytest.raises(ValueError, match="gradual = True needs mask"):
        Diffusers(saved(stable_diffusion, DDIM), gradual=True).load()


def test_the_latents_of_an_image_are_the_autoencoders_mean(saved, tmp_path):
    folder, file = saved(stable_diffusion, DDIM), picture(tmp_path)
    model, pipe = Diffusers(folder, image=file).load(), stock(folder)
    with torch.no_grad():
        mean = pipe.vae.encode(pipe.image_processor.preprocess(Image.open(file))).latent_dist.mean
    near(model.source.z, mean * pipe.vae.config.scaling_factor)


def test_a_controlnet_goes_together_with_image_to_image(saved, tmp_path):
    folder, file = saved(stable_diffusion, DDIM), picture(tmp_path)
    controlnet_of(stock(folder).unet).save_pretrained(tmp_path / "control")
    settings = {"controlnet": str(tmp_path / "control"), "control_image": file}
    model = Diffusers(folder, image=file, strength=0.6, **settings).load()
    network = diffusers.ControlNetModel.from_pretrained(tmp_path / "control")
    pipe = stock(folder, kind=diffusers.StableDiffusionControlNetImg2ImgPipeline, controlnet=network)
    image = Image.open(file)
    options = {"controlnet_conditioning_scale": 1.0, **SIZE}
    near(
        ours(model, "cfg(5)"),
        theirs_from_image(pipe, model, 5.0, image=image, control_image=image, strength=0.6, **options),
    )


def test_networks_made_for_inpainting_are_given_mask_and_image_as_channels(saved, tmp_path):
    torch.manual_seed(8)
    folder, kind = saved(stable_diffusion, DDIM), diffusers.StableDiffusionInpaintPipeline
    stock(folder, None, kind=kind, unet=unet(in_channels=9)).save_pretrained(tmp_path / "inpainting")
    file, black = picture(tmp_path), mask(tmp_path)
    model = Diffusers(str(tmp_path / "inpainting"), image=file, mask=black).load()
    assert (model.shape, model.encode(PROMPTS)["channels"].shape) == ((4, 8, 8), (2, 5, 8, 8))
    given = {"image": Image.open(file), "mask_image": Image.open(black), "strength": 1.0}
    with mean_latents():
        expected = theirs(stock(tmp_path / "inpainting"), model, 5.0, **given)
    near(ours(model, "cfg(5)"), expected)


def test_super_resolution_is_given_the_small_image_as_channels(saved, tmp_path):
    base = stock(saved(stable_diffusion, DDIM)).components
    network = unet(in_channels=7, num_class_embeds=100)
    pipe = diffusers.StableDiffusionUpscalePipeline(
        base["vae"], base["text_encoder"], base["tokenizer"], network, diffusers.DDPMScheduler(), DDIM
    )
    pipe.save_pretrained(tmp_path / "upscale")
    file = picture(tmp_path, side=8)
    model = Diffusers(str(tmp_path / "upscale"), image=file).load()
    assert "channels" in model.encode(PROMPTS)
    seed = [torch.Generator().manual_seed(0) for _ in PROMPTS]
    small = Image.open(file)
    expected = theirs(stock(tmp_path / "upscale"), model, 5.0, image=[small, small], generator=seed)
    near(ours(model, "cfg(5)"), expected)
    assert model.decode(expected).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match="strength: StableDiffusionUpscalePipeline does not start from its image"):
        Diffusers(str(tmp_path / "upscale"), image=file, strength=0.5).load()


def deepfloyd_stages(folder):
    """Folders of the two stages of a cascade."""
    scheduler = diffusers.DDPMScheduler(variance_type="learned_range")
    for name, small in (("first", None), ("second", 8)):
        deepfloyd(scheduler, small).save_pretrained(folder / name)
    return folder / "first", folder / "second"


def test_both_stages_of_a_cascade_in_pixels(tmp_path):
    file = picture(tmp_path, side=8, seed=1)
    for path, settings in zip(deepfloyd_stages(tmp_path), ({}, {"image": file}), strict=True):
        model = Diffusers(str(path), **settings).load()
        pipe = diffusers.DiffusionPipeline.from_pretrained(path)
        pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
            pipe.scheduler.config, solver_order=1, timestep_spacing="trailing", variance_type=None
        )
        seeds = [torch.Generator().manual_seed(0) for _ in PROMPTS]
        given = {"image": [Image.open(file)] * 2} if settings else {}
        with drawn(pipe, model):
            expected = pipe(
                PROMPTS, num_inference_steps=STEPS, guidance_scale=5.0, generator=seeds, output_type="pt", **given
            ).images
        near((ours(model, "cfg(5)") / 2 + 0.5).clamp(0, 1), (expected / 2 + 0.5).clamp(0, 1))


def test_a_cascade_enlarges_every_image_of_its_first_stage(tmp_path):
    first, second = deepfloyd_stages(tmp_path)
    stages = f"first=diffusers(path='{first}'), second=diffusers(path='{second}')"
    fields = {"prompts": PROMPTS, "samplers": ["euler"], "guidance": ["cfg(5)"], "metrics": ["luminance"]}
    models = [f"cascade({stages}, sampler=euler, steps={steps}, guidance=cfg(3))" for steps in (STEPS, 2)]
    sweep = Sweep(models=models, steps=[STEPS, 3], images=2, seed=SEED, **fields)
    runner = Runner(sweep, tmp_path / "run")
    assert runner.run(lambda images, cell: None).failed == {}
    frame = results(runner.plan, Store(tmp_path / "run"))
    assert frame["nfe"].tolist() == [20, 16, 14, 10]
    assert frame["value"].nunique() == 4
    model = build("backend", models[0]).load()
    images = model.draw(runner.plan.cells[0].cell, samples(sweep, PROMPTS, 0, 2))
    small = pictures(model.first.decode(ours(model.first, "cfg(5)")))
    pipe = diffusers.DiffusionPipeline.from_pretrained(second)
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        pipe.scheduler.config, solver_order=1, timestep_spacing="trailing", variance_type=None
    )
    seeds = [torch.Generator().manual_seed(SEED + i) for i in range(2)]
    with drawn(pipe, model.second):
        options = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "generator": seeds, "output_type": "pt"}
        expected = pipe(PROMPTS, image=small, **options).images
    expected = ((expected / 2 + 0.5).clamp(0, 1) * 255).round()
    assert (images - expected).abs().max() <= 1


def refined(saved, **settings):
    """A cascade of SDXL and its refiner, its clean latents, and both stock pipelines."""
    folders = [saved(make, DDIM) for make in (stable_diffusion_xl, refiner)]
    strength = settings.pop("strength", 1.0)
    first, second = f"diffusers(path='{folders[0]}')", f"diffusers(path='{folders[1]}', strength={strength})"
    said = ", ".join(f"{name}={value}" for name, value in settings.items())
    model = build("backend", f"cascade({first}, {second}, sampler=euler, steps=5, guidance=cfg(3), {said})").load()
    cell = Cell(model.id, "euler", "model", "trailing", STEPS, "cfg(5)", "", SEED, "float32")
    model.second.decode = lambda x: x
    x = model.draw(cell, [Sample(i, SEED + i, prompt) for i, prompt in enumerate(PROMPTS)])
    base, refining = map(stock, folders)
    return model, cell, x, base, refining


def test_a_refiner_starts_from_the_noised_image_of_the_first_stage(saved):
    model, cell, x, base, refining = refined(saved, strength=0.6)
    start = theirs(base, model.first, 5.0)
    given = {"strength": 0.6, "num_inference_steps": STEPS, "guidance_scale": 3.0, "output_type": "latent"}
    with drawn(refining, model.second, SEED + SECOND):
        expected = refining(PROMPTS, image=start, **given).images
    near(x, expected)
    assert (x - start).norm() > 0.1 * start.norm()
    assert model.evaluations(cell) == 2 * STEPS + 2 * 3


@pytest.mark.parametrize("end", [0.4, 0.8])
def test_a_refiner_goes_on_where_the_first_stage_was_left(saved, end):
    """SDXL's ensemble of experts."""
    model, cell, x, base, refining = refined(saved, handover=round(1 - end, 3))
    start = theirs(base, model.first, 5.0, denoising_end=end)
    given = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "output_type": "latent"}
    expected = refining(PROMPTS, image=start, denoising_start=end, **given).images
    near(x, expected)
    alone = theirs(base, model.first, 5.0)
    assert (x - alone).norm() > 0.01 * alone.norm()
    assert model.evaluations(cell) == 2 * STEPS
    assert f"from {1 - end:.1f}" in model.id


def test_a_refiner_with_another_autoencoder_is_given_the_image_itself(saved, tmp_path):
    other = refiner(DDIM)
    torch.nn.init.normal_(other.vae.decoder.conv_out.bias)
    other.save_pretrained(tmp_path / "other")
    first, second = f"diffusers(path='{saved(stable_diffusion_xl, DDIM)}')", f"diffusers(path='{tmp_path / 'other'}'"
    model = build("backend", f"cascade({first}, {second}, strength=0.5))").load()
    x = ours(model.first, "cfg(5)")
    z = model._handed_on(x).z
    with mean_latents():
        image = pictures(model.first.decode(x))[0]
        near(z[:1], other.vae.encode(other.image_processor.preprocess(image)).latent_dist.mean * 0.18215)
    with pytest.raises(ValueError, match=r"handover = 0.2: unfinished latents can be gone on with by a pipeline with"):
        build("backend", f"cascade({first}, {second}), handover=0.2)").load()


def test_a_size_that_flux_would_round_is_refused(saved):
    with pytest.raises(ValueError, match="height = 18: FluxPipeline draws multiples of 4 pixels; use 16 or 20"):
        Diffusers(saved(flux, FLOW), height=18, width=16).load()


def test_stages_that_do_not_go_together_are_refused(saved, tmp_path):
    folder = saved(stable_diffusion, DDIM)
    first, second = deepfloyd_stages(tmp_path)
    for settings, message in [
        ("", "cascade needs stages: first=diffusers"),
        (f"first=diffusers(path='{folder}'), second=diffusers(path='{folder}')", "is not given an image to enlarge"),
        (
            f"first=diffusers(path='{first}'), second=diffusers(path='{second}'), sampler=dpm_adaptive",
            "sampler = 'dpm_adaptive' chooses its steps for each image",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            build("backend", f"cascade({settings})").load()

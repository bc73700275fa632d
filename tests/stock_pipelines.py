"""The same images twice: as a sweep makes them from a saved pipeline, and as diffusers' own code does."""

import contextlib
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image

from sigmabench.eval.cells import Cell
from sigmabench.eval.engine import generate
from sigmabench.eval.jobs import Job
from sigmabench.eval.protocols import Sample
from sigmabench.samplers.noise import SeededNoise

PROMPTS, SEED, STEPS = ["a cat on a mat", "two dogs"], 7, 5
EVEN = [1 - i / STEPS for i in range(STEPS)]
"""Sigmas of a flow, before its shift, that ``trailing`` spaces too."""


def ours(model, guidance, prompts=PROMPTS, sampler="euler", steps=STEPS, spacing="trailing"):
    """Clean x as the harness makes it."""
    cell = Cell(model.id, sampler, "model", spacing, steps, guidance, "", SEED, "float32")
    return generate(model, [Job(cell, [Sample(i, SEED + i, prompt) for i, prompt in enumerate(prompts)])])[0]


def noise(model, seed=SEED):
    """What the harness starts those images from."""
    return SeededNoise(range(seed, seed + len(PROMPTS)), model.shape, "cpu").initial()


def stock(folder, scheduler=diffusers.DDIMScheduler, kind=diffusers.DiffusionPipeline, **components):
    """The saved pipeline as diffusers loads it.

    Args:
        scheduler: in place of its own, with its config, its steps trailing and its end clean; None keeps it.
        kind: of pipeline, such as one that starts from images.
    """
    missing = {"text_encoder_3": None, "tokenizer_3": None} if "stable_diffusion_3" in str(folder) else {}
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, **missing)
    if scheduler is not None:
        clean = {"clip_sample": False, "set_alpha_to_one": True} if scheduler is diffusers.DDIMScheduler else {}
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing", **clean)
    if kind is not diffusers.DiffusionPipeline:
        unchecked = {"requires_safety_checker": False} if "safety_checker" in pipe.components else {}
        pipe = kind(**{**pipe.components, **components}, **unchecked)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def theirs(pipe, model, scale, prompts=PROMPTS, **options):
    """Latents of a stock pipeline that is given our noise."""
    call = {"num_inference_steps": STEPS, "guidance_scale": scale, "output_type": "latent", **options}
    return pipe(prompts, latents=noise(model), **call).images


def theirs_from_image(pipe, model, scale, prompts=PROMPTS, **options):
    """Latents of one that starts from an image: the first noise that it draws is ours, latents are the mean."""
    call = {"num_inference_steps": STEPS, "guidance_scale": scale, "output_type": "latent", **options}
    with drawn(pipe, model), mean_latents():
        return pipe(prompts, **call).images


@contextlib.contextmanager
def drawn(pipe, model, seed=SEED):
    """The first noise that the pipeline draws is ours, of this first seed."""
    module, begin = sys.modules[type(pipe).__module__], noise(model, seed)
    if begin.ndim == 3:
        size, factor = model.autoencoder.size(model.shape), pipe.vae_scale_factor
        begin = pipe._unpack_latents(begin, *size, factor)
    original, waiting = module.randn_tensor, [begin]

    def first(*args, **kwargs):
        own = original(*args, **kwargs)
        return waiting.pop() if waiting else own

    module.randn_tensor = first
    try:
        yield
    finally:
        module.randn_tensor = original


@contextlib.contextmanager
def mean_latents():
    """Autoencoders say the mean, as in a sweep, where pipelines ask them for a sample."""
    sample = DiagonalGaussianDistribution.sample
    DiagonalGaussianDistribution.sample = lambda self, generator=None: self.mode()
    try:
        yield
    finally:
        DiagonalGaussianDistribution.sample = sample


def near(a, b, tolerance=1e-4):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def picture(folder, side=16, seed=0):
    """A file of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return _saved(pixels, folder, f"picture-{side}-{seed}.png")


def mask(folder, side=16):
    """A file that is black on the left and white on the right."""
    pixels = np.zeros((side, side), np.uint8)
    pixels[:, side // 2 :] = 255
    return _saved(pixels, folder, f"mask-{side}.png")


def _saved(pixels, folder, name):
    path = Path(folder) / name
    if not path.exists():
        Image.fromarray(pixels).save(path)
    return str(path)

"""The sweep that people write by hand: a diffusers pipeline, a scheduler for each cell, PNG files, metrics of folders.

Written as its author would be proud of it: networks are loaded once and in the faster memory format, images are made in
batches and without gradients, files are read in batches, texts are embedded once. Files and numbers of a folder are
those of clean-fid, the text score is open_clip's. Nothing here is this package's but the networks themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from cleanfid.fid import get_files_features
from cleanfid.resize import make_resizer
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

SCHEDULERS = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}


class TextToImage(DiffusionPipeline):
    """Prompts to PIL images, in the manner of diffusers' own pipelines; pixels are stacked two by two in channels."""

    unet: Any
    scheduler: Any

    def __init__(self, unet: Any, scheduler: Any, encode: Callable[[Sequence[str]], Tensor]) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.encode, self.processor = encode, VaeImageProcessor()
        self.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def __call__(self, prompts: list[str], steps: int, scale: float, generators: list[torch.Generator]) -> list[Any]:
        states = self.encode([""] * len(prompts) + prompts)
        side = self.unet.config.sample_size
        shape = len(prompts), self.unet.config.in_channels, side, side
        self.scheduler.set_timesteps(steps, device=self.device)
        x = randn_tensor(shape, generator=generators, device=self.device) * self.scheduler.init_noise_sigma
        for t in self.progress_bar(self.scheduler.timesteps):
            both = self.scheduler.scale_model_input(torch.cat([x, x]), t)
            uncond, cond = self.unet(both, t, encoder_hidden_states=states, return_dict=False)[0].chunk(2)
            x = self.scheduler.step(uncond + scale * (cond - uncond), t, x, return_dict=False)[0]
        return self.processor.postprocess(F.pixel_shuffle(x, 2), output_type="pil")


class Judges(NamedTuple):
    """What looks at the files: a feature network with the moments to compare with, and an image-text model."""

    network: Callable[[Tensor], Tensor]
    """Float images of 0 ... 255 of its size, to features."""
    size: int
    mean: np.ndarray
    cov: np.ndarray
    clip: Any
    preprocess: Callable[[Any], Tensor]
    tokenizer: Callable[[list[str]], Tensor]


def sweep(
    folder: Path, pipe: TextToImage, judges: Judges, prompts: Sequence[str], *, seeds: Sequence[int], steps: int,
    scale: float, batch: int, distance: Callable[..., float],
) -> dict[str, Mapping[str, float]]:  # fmt: skip
    """Both numbers of every cell.

    Args:
        prompts: one for each image, as seeds are.
        distance: clean-fid's, of the moments of two sets.
    """
    found = {}
    for name, scheduler in SCHEDULERS.items():
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
        generate(folder / name, pipe, prompts, seeds, steps, scale, batch)
        found[name] = numbers(sorted((folder / name).iterdir()), judges, prompts, batch, pipe.device, distance)
    return found


def generate(
    folder: Path, pipe: TextToImage, prompts: Sequence[str], seeds: Sequence[int], steps: int, scale: float, batch: int
) -> None:
    """One PNG file for each image."""
    folder.mkdir(parents=True)
    for start in range(0, len(prompts), batch):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + batch]]
        for i, image in enumerate(pipe(list(prompts[start : start + batch]), steps, scale, generators)):
            image.save(folder / f"{start + i:05d}.png")


def numbers(
    files: Sequence[Path], judges: Judges, prompts: Sequence[str], batch: int, device: Any,
    distance: Callable[..., float],
) -> Mapping[str, float]:  # fmt: skip
    """The Frechet distance and the text score of a folder's images."""
    resize = make_resizer("PIL", False, "bicubic", (judges.size, judges.size))
    features = get_files_features(
        [str(file) for file in files], judges.network, num_workers=0, batch_size=batch, device=device,
        custom_fn_resize=resize, verbose=False,
    )  # fmt: skip
    moments = features.mean(axis=0), np.cov(features, rowvar=False)
    return {
        "fd": distance(*moments, judges.mean, judges.cov),
        "clip_score": score(files, judges, prompts, batch, device),
    }


@torch.no_grad()
def score(files: Sequence[Path], judges: Judges, prompts: Sequence[str], batch: int, device: Any) -> float:
    """100 times the mean cosine of images and their prompts."""
    distinct = sorted(set(prompts))
    texts = judges.clip.encode_text(judges.tokenizer(distinct).to(device), normalize=True)
    cosines = []
    for start in range(0, len(files), batch):
        images = torch.stack([judges.preprocess(Image.open(file)) for file in files[start : start + batch]])
        rows = judges.clip.encode_image(images.to(device), normalize=True)
        own = texts[[distinct.index(prompt) for prompt in prompts[start : start + batch]]]
        cosines.append((rows * own).sum(1))
    return 100 * float(torch.cat(cosines).mean())

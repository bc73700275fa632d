"""The whole sweep beside a straightforward script: the same cells, networks, noise, features and numbers.

Ours ends with every number, its interval and all comparisons, theirs with the numbers. Its pages are not in it: the
script has none. At 32 px the network takes nearly all the time of both; at 256 px a network that answers zero shows the
path around it. Its images are noise, which PNG packs in three quarters of the time that photographs take.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..embedded.features import load_feature_net
from ..embedded.generator import LINEAR, folder_of, read_generator
from ..embedded.imagetext import load_imagetext
from ..metrics.libraries import cleanfid_distance
from ..metrics.reference import load_reference
from ..metrics.towers import EMBEDDED
from . import users_script
from .row import Row, compared
from .swept import PROMPTS, Swept
from .timing import in_turns, ready

SCALE, ROUNDS, GOAL = 3.0, 3, 1.0
PEER = "diffusers pipeline, PNG files, clean-fid and open_clip over them"
IMAGES = {"cpu": 32, "cuda": 128}
SIDE = 256


def rows(device: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        silent = saved(Path(folder), SIDE)
        yield _compared("32 px, 10 steps: the network is nearly all of it", device, folder_of("eps"), 10)
        around = f"{SIDE} px, 4 steps of a network that answers zero"
        yield _compared(around, device, silent, 4)
        yield _compared(f"{around}, with PNG files of ours too", device, silent, 4, keep=True)


def _compared(what: str, device: str, network: Path, steps: int, *, keep: bool = False) -> Row:
    images = IMAGES[device]
    size = {"steps": steps, "images": images, "batch": images // 2}
    ours, (pipe, judges) = swept(network, **size, device=device, keep=keep), script(network, device)
    if network != folder_of("eps"):
        ours.model.network = pipe.unet = Silent(ours.model.network)
    theirs = partial(run_script, pipe, judges, **size)
    times = in_turns({"ours": ready(ours.numbers), "theirs": ready(theirs)}, ROUNDS, device)
    title = f"a sweep of {len(users_script.SCHEDULERS)} cells of {images} images, {what}"
    return compared(title, PEER, times["ours"], times["theirs"], GOAL, ("s", 1.0))


class Silent(nn.Module):
    """Answers zero at once, in place of a network."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.config, self.device = network.config, network.device

    def forward(self, x: Tensor, *given: Any, **named: Any) -> tuple[Tensor]:
        return (torch.zeros_like(x),)


def swept(network: Path, *, steps: int, images: int, batch: int, device: str, keep: bool = False) -> Swept:
    """Ours, ready to go."""
    return Swept(
        list(users_script.SCHEDULERS), steps, images, batch, device, models=f"embedded(variant=eps, path='{network}')",
        guidance=f"cfg({SCALE:g})", save_images=keep,
    )  # fmt: skip


def script(network: Path, device: str) -> tuple[users_script.TextToImage, users_script.Judges]:
    """Theirs, loaded."""
    from diffusers import DDIMScheduler

    generator, text, net = read_generator(network, "eps", device), load_imagetext(device), load_feature_net()
    unet = generator.unet.to(memory_format=torch.channels_last)
    pipe = users_script.TextToImage(unet, DDIMScheduler.from_config(generator.scheduler_config), text.encode_tokens)
    reference = load_reference(EMBEDDED, f"features/{net.name}", EMBEDDED)
    judges = users_script.Judges(
        copy.deepcopy(net).to(device), 32, reference.mean, reference.cov, text.clip, text.preprocess, text.tokenizer
    )
    return pipe, judges


def run_script(
    pipe: users_script.TextToImage, judges: users_script.Judges, *, steps: int, images: int, batch: int
) -> Mapping[str, Mapping[str, float]]:
    """Its numbers of every cell; its files are gone afterwards."""
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(images)]
    with tempfile.TemporaryDirectory() as folder:
        return users_script.sweep(
            Path(folder), pipe, judges, prompts, seeds=range(images), steps=steps, scale=SCALE, batch=batch,
            distance=cleanfid_distance,
        )  # fmt: skip


def saved(folder: Path, side: int) -> Path:
    """A network of a few channels for images of this side, of the embedded one's kind."""
    from diffusers import DDIMScheduler, UNet2DConditionModel

    unet: Any = UNet2DConditionModel(
        sample_size=side // 2, in_channels=12, out_channels=12, block_out_channels=(4,), layers_per_block=1,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), mid_block_type=None, norm_num_groups=4,
        cross_attention_dim=32,
    )  # fmt: skip
    unet.save_pretrained(folder / "unet")
    options = {**LINEAR, "prediction_type": "v_prediction", "timestep_spacing": "trailing", "clip_sample": False}
    scheduler: Any = DDIMScheduler(**options)
    scheduler.save_pretrained(folder / "scheduler")
    return folder

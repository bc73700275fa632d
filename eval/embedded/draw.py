"""Images from a generator by diffusers' own DPM-Solver++(2M) (arXiv 2211.01095), for scoring what was trained.

Independent of this package's samplers, so that a fault in them cannot pass for a fault of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .codec import SHAPE, decode
from .generator import Generator
from .imagetext import ImageText


def initial_noise(seeds: Sequence[int]) -> torch.Tensor:
    """float32 (B, 12, 16, 16): one CPU generator per seed, so an image does not depend on its batch."""
    return torch.stack([torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def solver(generator: Generator, steps: int) -> Any:
    """DPM-Solver++(2M) on the generator's betas and spacing (trailing)."""
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler.from_config(generator.scheduler_config)
    scheduler.set_timesteps(steps)
    return scheduler


@torch.no_grad()
def draw(
    generator: Generator,
    text: ImageText,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int = 25,
    guidance: float = 3.0,
    batch: int = 50,
) -> torch.Tensor:
    """One image per prompt: uint8 (B, 3, 32, 32) on the CPU. Guided output: uncond + guidance (cond - uncond).

    The network and the text model are on one device, and that is where the images are made.
    """
    images, device = [], generator.unet.device
    for start in range(0, len(prompts), batch):
        x = initial_noise(seeds[start : start + batch]).to(device)
        states = text.encode_tokens([*prompts[start : start + batch], *[""] * len(x)])
        scheduler = solver(generator, steps)
        for t in scheduler.timesteps:
            cond, uncond = generator.unet(torch.cat([x, x]), t, encoder_hidden_states=states).sample.chunk(2)
            x = scheduler.step(uncond + guidance * (cond - uncond), t, x).prev_sample
        images.append(decode(x).cpu())
    return torch.cat(images)

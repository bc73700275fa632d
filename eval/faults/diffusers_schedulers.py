"""diffusers' schedulers on closed-form problems: their tables as levels, and a network that knows the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...samplers import Level
from ...samplers.level import CLEAN
from ...samplers.problems import BIMODAL
from ...samplers.protocols import Denoiser

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def untouched(name: str, steps: int, **options: Any) -> Any:
    """One of theirs with timesteps for that many steps."""
    import diffusers

    made = getattr(diffusers, name)(**options)
    made.set_timesteps(steps)
    return made


def scheduler(name: str, steps: int, **options: Any) -> Any:
    """One of theirs with Stable Diffusion's table, in float64 where they keep it."""
    made = untouched(name, steps, **(SD | options))
    if hasattr(made, "alphas_cumprod"):
        made.alphas_cumprod = made.alphas_cumprod.double()
    return made


def level_at(theirs: Any, timestep: int) -> Level:
    """The variance preserving level of a timestep in their table."""
    abar = theirs.alphas_cumprod[timestep].item()
    return Level(math.sqrt(abar), math.sqrt(1 - abar))


def levels_of(theirs: Any) -> list[Level]:
    """The levels of their timesteps, each once, then clean."""
    return [*dict.fromkeys(level_at(theirs, t) for t in theirs.timesteps.tolist()), CLEAN]


def vp_sigmas(theirs: Any) -> list[Level]:
    """The variance preserving levels of their sigmas."""
    return [Level(1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)) for sigma in theirs.sigmas.tolist()]


def velocity(x: Tensor, level: Level, denoiser: Denoiser = BIMODAL) -> Tensor:
    """v = (alpha x - x0) / sigma at a variance preserving level, exact at alpha = 0 too."""
    return (level.alpha * x - denoiser(x, level)) / level.sigma


def noise_in(x: Tensor, level: Level, denoiser: Denoiser = BIMODAL) -> Tensor:
    """eps = (x - alpha x0) / sigma."""
    return (x - level.alpha * denoiser(x, level)) / level.sigma


def follow(theirs: Any, x: Tensor, levels: Sequence[Level] | None = None, **options: Any) -> Tensor:
    """Run theirs from x with an exact network, which is asked for what their configuration says it predicts."""
    ask = {"epsilon": noise_in, "v_prediction": velocity}[theirs.config.prediction_type]
    for i, t in enumerate(theirs.timesteps):
        level = levels[i] if levels else level_at(theirs, int(t))
        x = theirs.step(ask(x, level), t, x, **options).prev_sample
    return x


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)

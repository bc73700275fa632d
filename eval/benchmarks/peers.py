"""The peers' own loops over a null model, ready to be timed: nothing of ours is inside them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..peers import diffusers_schedulers, k_diffusion

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "use_karras_sigmas": True}
HIGH, LOW, RHO = 14.6, 0.03, 7
"""Sigma from and to which k-diffusion's functions are sent, and the exponent of the steps between."""


class Loop(NamedTuple):
    """A peer's run from x over so many steps."""

    title: str
    counterpart: str
    """The same method here."""
    process: str
    """Whose levels it walks: VE, VP or flow."""
    prepare: Callable[[Tensor, int], Callable[[], object]]


def loops() -> Iterator[Loop]:
    """Every function of k-diffusion and every scheduler of diffusers that has a counterpart and fixed steps."""
    for function in k_diffusion.FUNCTIONS:
        if function.evaluations is not None:
            yield Loop(f"k-diffusion {function.title}", function.counterpart, "VE", _k_diffusion(function))
    for described in diffusers_schedulers.SCHEDULERS:
        process = "flow" if described.flow else "VP"
        yield Loop(f"diffusers {described.title}", described.counterpart, process, _diffusers(described))


def sigmas(steps: int) -> list[float]:
    return [((HIGH ** (1 / RHO)) * (1 - i / steps) + LOW ** (1 / RHO) * i / steps) ** RHO for i in range(steps + 1)]


def made(described: Any) -> Any:
    """A scheduler with the tables of Stable Diffusion and Karras's steps, or of a flow."""
    cls = diffusers_schedulers.scheduler_class(described)
    known = inspect.signature(cls.__init__).parameters
    wanted = {} if described.flow else {name: value for name, value in BETAS.items() if name in known}
    return cls(**wanted, **described.options)


@torch.no_grad()
def denoised(scheduler: Any, x: Tensor, options: dict[str, Any]) -> Tensor:
    """The loop of diffusers' pipelines, for a scheduler whose timesteps are set."""
    scale = getattr(scheduler, "scale_model_input", lambda x, t: x)
    for t in scheduler.timesteps:
        x = scheduler.step(scale(x, t), t, x, return_dict=False, **options)[0]
    return x


@contextmanager
def drawing(z: Tensor, module: ModuleType, scheduler: Any = None) -> Iterator[None]:
    """While it lasts, what ``randn_tensor`` of that module draws is z, and so what the scheduler's own sampler does."""
    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = lambda sigma, sigma_next: z
    theirs = getattr(module, "randn_tensor", None)
    module.randn_tensor = lambda *_, **__: z  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.randn_tensor = theirs  # type: ignore[attr-defined]


def _k_diffusion(function: Any) -> Callable[[Tensor, int], Callable[[], object]]:
    def prepare(x: Tensor, steps: int) -> Callable[[], object]:
        sample, z = getattr(k_diffusion.sampling(), function.name), torch.randn_like(x)
        given = _known(sample, torch.tensor(sigmas(steps), device=x.device), lambda sigma, sigma_next: z)
        return lambda: sample(lambda x, sigma: x, x, disable=True, **{**function.options, **given})

    return prepare


def _known(sample: Any, sigmas: Tensor, noise: Callable[[Any, Any], Tensor]) -> dict[str, Any]:
    """Of what a function of k-diffusion may be given, what this one knows."""
    ends = {"sigma_min": sigmas[-1], "sigma_max": sigmas[0], "n": len(sigmas) - 1}
    known = inspect.signature(sample).parameters
    return {name: value for name, value in {"sigmas": sigmas, "noise_sampler": noise, **ends}.items() if name in known}


def _diffusers(described: Any) -> Callable[[Tensor, int], Callable[[], object]]:
    def prepare(x: Tensor, steps: int) -> Callable[[], object]:
        scheduler, z = made(described), torch.randn_like(x)
        scheduler.set_timesteps(steps, device=x.device)

        def run() -> None:
            with drawing(z, sys.modules[type(scheduler).__module__], scheduler):
                denoised(scheduler, x, described.step)

        return run

    return prepare

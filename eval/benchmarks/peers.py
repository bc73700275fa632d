"""The peers' own loops over a null model, ready to be timed: nothing of ours is inside them."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..peers import diffusers_schedulers, k_diffusion

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "use_karras_sigmas": True}


class Loop(NamedTuple):
    """A peer's run from x over so many steps."""

    title: str
    counterpart: str
    """The same method here."""
    prepare: Callable[[Tensor, int], Callable[[], object]]


def loops() -> Iterator[Loop]:
    """Every function of k-diffusion and every scheduler of diffusers that has a counterpart and fixed steps."""
    for function in k_diffusion.FUNCTIONS:
        if function.evaluations is not None:
            yield Loop(f"k-diffusion {function.title}", function.counterpart, _k_diffusion(function))
    for scheduler in diffusers_schedulers.SCHEDULERS:
        yield Loop(f"diffusers {scheduler.title}", scheduler.counterpart, _diffusers(scheduler))


def _k_diffusion(function: Any) -> Callable[[Tensor, int], Callable[[], object]]:
    def prepare(x: Tensor, steps: int) -> Callable[[], object]:
        sample, z = getattr(k_diffusion.sampling(), function.name), torch.randn_like(x)
        sigmas = torch.linspace(14.6 ** (1 / 7), 0.03 ** (1 / 7), steps + 1, device=x.device) ** 7
        options = {**function.options, "sigmas": sigmas, "sigma_min": sigmas[-1], "sigma_max": sigmas[0], "n": steps}
        options["noise_sampler"] = lambda sigma, sigma_next: z
        known = inspect.signature(sample).parameters
        given = {name: value for name, value in options.items() if name in known}
        return lambda: sample(lambda x, sigma: x, x, disable=True, **given)

    return prepare


def _diffusers(described: Any) -> Callable[[Tensor, int], Callable[[], object]]:
    def prepare(x: Tensor, steps: int) -> Callable[[], object]:
        scheduler = _made(described, steps, x.device)
        return lambda: _loop(scheduler, described, x)

    return prepare


def _made(described: Any, steps: int, device: torch.device) -> Any:
    cls = diffusers_schedulers.scheduler_class(described)
    known = inspect.signature(cls.__init__).parameters
    wanted = {} if described.flow else {name: value for name, value in BETAS.items() if name in known}
    scheduler = cls(**wanted, **described.options)
    scheduler.set_timesteps(steps, device=device)
    return copy.deepcopy(scheduler)


def _loop(scheduler: Any, described: Any, x: Tensor) -> Tensor:
    scale = getattr(scheduler, "scale_model_input", lambda x, t: x)
    with _noise(scheduler, torch.randn_like(x)):
        for t in scheduler.timesteps:
            x = scheduler.step(scale(x, t), t, x, return_dict=False, **described.step)[0]
    return x


@contextmanager
def _noise(scheduler: Any, z: Tensor) -> Iterator[None]:
    """While it lasts, what the scheduler draws is z."""
    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = lambda sigma, sigma_next: z
    module = sys.modules[type(scheduler).__module__]
    theirs = getattr(module, "randn_tensor", None)
    module.randn_tensor = lambda *_, **__: z  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.randn_tensor = theirs  # type: ignore[attr-defined]

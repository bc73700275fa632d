"""What our samplers cost inside ComfyUI, beside its own of the same method: a step of the function that KSAMPLER calls.

Both are handed the same model, sigmas and arguments, on its model_sampling of Stable Diffusion; the model is a null
model and noise is drawn before. It takes the checkout that COMFYUI_DIR names and an environment that has its
requirements; without them there are no rows.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from torch import Tensor

from ...plugins.comfyui import driver
from ...plugins.registry import build
from ..peers.comfyui import ComfyUI, MissingPeerError, comfyui
from ..peers.comfyui_samplers import SAMPLERS
from ..peers.named import Named
from .peers import sigmas
from .row import Row, compared
from .timing import in_turns

STEPS, ROUNDS, GOAL = 50, 11, 1.0
SHAPE = (1, 4, 64, 64)


def rows(device: str) -> Iterator[Row]:
    try:
        host = comfyui()
    except (MissingPeerError, ImportError) as error:
        Console(stderr=True).print(f"comfyui: skipped, {error}")
        return
    x = torch.randn(SHAPE, device=device)
    for named in SAMPLERS:
        if named.evaluations is None or named.name not in host.samplers.SAMPLER_NAMES:
            continue
        times = in_turns(
            {"ours": partial(_ours, host, named, x), "theirs": partial(_theirs, host, named, x)}, ROUNDS, device
        )
        own, other = ([seconds / STEPS for seconds in times[name]] for name in ("ours", "theirs"))
        yield compared(
            f"a step of {named.counterpart}", f"ComfyUI {host.version} {named.title}", own, other, GOAL, ("us", 1e6)
        )


class Null:
    """A model that answers x, as a sampler of ComfyUI sees it."""

    def __init__(self, model_sampling: Any) -> None:
        self.model_sampling = model_sampling
        self.inner_model = types.SimpleNamespace(inner_model=self, model_patcher=self)

    def get_model_object(self, name: str) -> Any:
        return getattr(self, name)

    def __call__(self, x: Tensor, sigma: Tensor, model_options: Any = None, **_: Any) -> Tensor:
        for function in (model_options or {}).get("sampler_post_cfg_function", ()):
            function({"denoised": x, "uncond_denoised": x, "uncond": x})
        return x


def _ours(host: ComfyUI, named: Named, x: Tensor) -> Callable[[], object]:
    function = driver.SamplerFunction(named.name, build("sampler", named.counterpart), lambda: None)
    return _run(host, function, x, {})


def _theirs(host: ComfyUI, named: Named, x: Tensor) -> Callable[[], object]:
    function, options = host.samplers.sampler_object(named.name).sampler_function, dict(named.options)
    if "noise_sampler" in host.arguments(named.name):
        options["noise_sampler"] = lambda sigma, sigma_next: x
    return _run(host, function, x, options)


def _run(host: ComfyUI, function: Any, x: Tensor, options: dict[str, Any]) -> Callable[[], object]:
    model, places = Null(host.process("eps")), torch.tensor(sigmas(STEPS), device=x.device)

    arguments = {"extra_args": {"seed": 0, "model_options": {}}, "callback": None, "disable": True, **options}

    @torch.no_grad()
    def run() -> None:
        with mock.patch.object(driver, "BrownianNoise", return_value=lambda s, t: x):
            function(model, x, places, **arguments)

    return run

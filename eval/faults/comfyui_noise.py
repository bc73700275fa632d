"""ComfyUI's samplers that add noise, on flow models: exact mean and deviation of the images, with ours beside."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch

from ...plugins.registry import build
from ...samplers import Level
from ...samplers.conformance.convergence import output_moments
from ...samplers.noise import SeededNoise
from ...samplers.path import Path
from ...samplers.problems import BIMODAL, GAUSSIAN
from ...samplers.run import sample
from .fault import Fault, sides
from .hosts import comfyui
from .moments import Noise, moments_of

STEPS = 80


@dataclasses.dataclass(frozen=True)
class Pair:
    """One of theirs by its name, and ours by its."""

    name: str
    plugin: str
    options: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        return " ".join([self.name, *(f"{name}={value:g}" for name, value in self.options.items())])


PAIRS = (
    Pair("euler", "churn(euler, s_churn=40)", {"s_churn": 40.0}),
    Pair("heun", "churn(heun, s_churn=40)", {"s_churn": 40.0}),
    Pair("dpm_2", "churn(dpm_2, s_churn=40)", {"s_churn": 40.0}),
    Pair("euler_ancestral", "euler_ancestral"),
    Pair("dpm_2_ancestral", "dpm_2_ancestral"),
    Pair("dpmpp_2s_ancestral", "dpmpp_2s_ancestral"),
    Pair("euler_ancestral_cfg_pp", "cfg_pp(euler_ancestral)"),
    Pair("dpmpp_2s_ancestral_cfg_pp", "cfg_pp(dpmpp_2s_ancestral)"),
    Pair("res_multistep_ancestral", "res_multistep_ancestral"),
    Pair("res_multistep_ancestral_cfg_pp", "cfg_pp(res_multistep_ancestral)"),
    Pair("ddpm", "ddpm"),
    Pair("dpmpp_sde", "dpmpp_sde"),
    Pair("dpmpp_2m_sde", "dpmpp_2m_sde"),
    Pair("dpmpp_2m_sde_heun", "dpmpp_2m_sde(solver=heun)"),
    Pair("dpmpp_3m_sde", "dpmpp_3m_sde"),
    Pair("er_sde", "er_sde"),
    Pair("seeds_2", "seeds_2"),
    Pair("seeds_3", "seeds_3"),
    Pair("sa_solver", "sa_solver"),
)


def flow_levels(steps: int = STEPS) -> list[Level]:
    """Equal steps of t from pure noise to clean."""
    return [Level(1 - i / steps, i / steps) for i in range(steps, -1, -1)]


def theirs(pair: Pair) -> tuple[float, float]:
    """Mean and deviation of their images; 0.6 and 0.5 are right."""
    host, levels = comfyui(), flow_levels()
    draws = "noise_sampler" in host.arguments(pair.name)

    def run(x: torch.Tensor, noise: Noise) -> torch.Tensor:
        return host.sample(pair.name, GAUSSIAN, x, levels, noise if draws else None, **pair.options)

    return moments_of(run, levels[0])


def ours(pair: Pair) -> tuple[float, float]:
    return output_moments(build("sampler", pair.plugin), Path(flow_levels()))


def _off(moments: tuple[float, float]) -> float:
    return math.hypot(moments[0] - GAUSSIAN.mean, moments[1] - math.sqrt(GAUSSIAN.variance))


def _change(theirs: bool) -> float:
    """What a second image in the batch does to the first."""
    levels = [Level(1.0, sigma) for sigma in (5.0, 3.0, 2.0, 1.0, 0.5)]

    def run(count: int) -> torch.Tensor:
        noise = SeededNoise(range(count), (4, 3, 3), dtype=torch.float64)
        x = noise.initial() * levels[0].sigma
        if theirs:
            return comfyui().sample("euler_ancestral", BIMODAL, x, levels)[0]
        return sample(build("sampler", "euler_ancestral"), BIMODAL, x, levels, noise)[0]

    return (run(2) - run(1)).abs().max().item()


def _nan_at_eta_0(theirs: bool) -> float:
    """Runs of 5 to 100 steps in float32 whose image is NaN."""
    failed = 0
    x = SeededNoise((1,), (4, 3, 3)).initial()
    for steps in range(5, 101, 5):
        levels = flow_levels(steps)[1:]
        if theirs:
            sigmas = torch.tensor([level.sigma for level in levels])
            end = comfyui().run("dpm_2_ancestral", BIMODAL, x, sigmas, "flow", eta=0.0)
        else:
            end = sample(build("sampler", "dpm_2_ancestral(eta=0.0)"), BIMODAL, x, levels)
        failed += bool(end.isnan().any())
    return failed


CHURN = "The noise of a variance exploding process is added to a flow without scaling x."
WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "euler s_churn=40": (CHURN, ()),
    "heun s_churn=40": (CHURN, ()),
    "dpm_2 s_churn=40": (CHURN, ()),
    "res_multistep_ancestral": (
        "Step and noise are those of a variance exploding process.",
        ("comfyanonymous/ComfyUI#9444", "comfyanonymous/ComfyUI#9542", "comfyanonymous/ComfyUI#8030"),
    ),
    "res_multistep_ancestral_cfg_pp": (
        "Step and noise are those of a variance exploding process.",
        ("comfyanonymous/ComfyUI#6731",),
    ),
    "dpmpp_2s_ancestral_cfg_pp": (
        "Step and noise are those of a variance exploding process, and x0 of two stages is mixed up.",
        ("comfyanonymous/ComfyUI#14814",),
    ),
    "ddpm": ("Step and noise are those of a variance preserving process.", ()),
}


def _flow_fault(pair: Pair) -> Fault:
    wrong, threads = WRONG[pair.title]
    return Fault(
        "comfyui-flow-" + pair.name.replace("_", "-"),
        "ComfyUI",
        f"{pair.title}, flow model",
        wrong,
        f"distance of (mean, deviation) of the images from (0.6, 0.5), {STEPS} steps",
        lambda: _off(ours(pair)),
        lambda: _off(theirs(pair)),
        at_most=0.06,
        threads=threads,
    )


FAULTS = (
    *(_flow_fault(pair) for pair in PAIRS if pair.title in WRONG),
    Fault(
        "comfyui-dpm-2-ancestral-eta-0",
        "ComfyUI",
        "dpm_2_ancestral, eta=0, flow model",
        "The noise to add back is the root of a rounding error below 0.",
        "of 20 numbers of steps up to 100, those that give NaN",
        *sides(_nan_at_eta_0),
        at_most=0,
    ),
    Fault(
        "comfyui-batch",
        "ComfyUI",
        "default noise of the samplers",
        "All images of a batch draw from one stream, so each depends on how many there are.",
        "largest change of image 0 when another one is in the batch",
        *sides(_change),
        at_most=0,
    ),
)

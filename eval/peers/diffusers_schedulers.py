"""diffusers' schedulers, with a training table whose levels are the path's, stopped one step before clean.

They build their own tables from it, as for any model; the network is told the timestep and predicts v, or the flow.
x and levels are float64. Some convert them to float32 in their step or tables: for those, errors below 1e-5 are
rounding and no part of an order.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from ...samplers.level import Level, variance_preserving
from ...samplers.path import Path
from ...samplers.protocols import Denoiser, Noise
from ..orders.methods import Method
from .brownian import Brownian

LEAST = 2.0**-24
"""alpha^2 that ``rescale_betas_zero_snr`` puts in place of 0."""


@dataclasses.dataclass(frozen=True)
class _Scheduler:
    """One of theirs: class, options, our counterpart, the order its options give, evaluations a step."""

    name: str
    counterpart: str
    order: int
    evaluations: int = 1
    stochastic: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    step: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    flow: bool = False

    @property
    def floor(self) -> float:
        """Errors below it are rounding."""
        return 1e-5 if self.name in SINGLE_PRECISION else 1e-10

    @property
    def title(self) -> str:
        said = {name: value for name, value in {**self.options, **self.step}.items() if name not in UNSAID}
        settings = ", ".join(f"{name}={value}" for name, value in said.items())
        return f"{self.name}({settings})" if settings else self.name


UNSAID = ("tau_func", "prediction_type", "lower_order_final")
FULL = {"lower_order_final": False}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

SCHEDULERS = (
    _Scheduler("EulerDiscreteScheduler", "euler", 1),
    _Scheduler("DDIMScheduler", "ddim", 1),
    _Scheduler("HeunDiscreteScheduler", "heun", 2, 2),
    _Scheduler("KDPM2DiscreteScheduler", "dpm_2", 2, 2),
    _Scheduler("LMSDiscreteScheduler", "lms", 4),
    _Scheduler("DPMSolverMultistepScheduler", "dpmpp_2m", 2, options={"solver_order": 2}),
    _Scheduler("DPMSolverMultistepScheduler", "dpmpp_3m(start=runge_kutta)", 3, options={"solver_order": 3}),
    _Scheduler("DPMSolverSinglestepScheduler", "dpmpp_2s", 2, options={"solver_order": 2}),
    _Scheduler("DPMSolverSinglestepScheduler", "dpmpp_3s", 3, options={"solver_order": 3}),
    _Scheduler("UniPCMultistepScheduler", "unipc", 3, options={"solver_order": 2} | FULL),
    _Scheduler("DEISMultistepScheduler", "deis", 3, options={"solver_order": 3}),
    _Scheduler("EulerAncestralDiscreteScheduler", "euler_ancestral", 1, stochastic=True),
    _Scheduler("KDPM2AncestralDiscreteScheduler", "dpm_2_ancestral", 2, 2, stochastic=True),
    _Scheduler("DPMSolverSDEScheduler", "dpmpp_sde", 2, 2, stochastic=True),
    _Scheduler("DDIMScheduler", "ddim(eta=1)", 1, stochastic=True, step={"eta": 1.0}),
    _Scheduler("DDPMScheduler", "ddpm", 1, stochastic=True),
    _Scheduler(
        "DPMSolverMultistepScheduler", "dpmpp_2m_sde", 2, 1, True,
        {"solver_order": 2, "algorithm_type": "sde-dpmsolver++"},
    ),
    _Scheduler(
        "DPMSolverMultistepScheduler", "dpmpp_3m_sde", 3, 1, True,
        {"solver_order": 3, "algorithm_type": "sde-dpmsolver++"},
    ),
    _Scheduler(
        "SASolverScheduler", "sa_solver", 3, 1, True,
        {"predictor_order": 3, "corrector_order": 4, "tau_func": lambda t: 1.0} | FULL,
    ),
    _Scheduler("FlowMatchEulerDiscreteScheduler", "euler", 1, flow=True),
    _Scheduler("FlowMatchHeunDiscreteScheduler", "runge_kutta(method=heun2, quantity=flow)", 2, 2, flow=True),
    _Scheduler("DPMSolverMultistepScheduler", "dpmpp_2m", 2, options={"solver_order": 2} | FLOW, flow=True),
    _Scheduler("UniPCMultistepScheduler", "unipc", 3, options={"solver_order": 2} | FULL | FLOW, flow=True),
)  # fmt: skip


def peers() -> Iterator[Method]:
    """One method for each scheduler; a single one without ``solve`` where diffusers is not installed."""
    if importlib.util.find_spec("diffusers") is None:
        yield Method(
            "diffusers", "diffusers", None, processes=("VP",), note="not installed; pip install diffusers", peer=True
        )
        return
    for scheduler in SCHEDULERS:
        yield Method(
            f"diffusers {version('diffusers')}",
            scheduler.title,
            _solver(scheduler),
            scheduler.stochastic,
            ("flow",) if scheduler.flow else ("VP",),
            scheduler.order,
            scheduler.evaluations,
            scheduler.counterpart,
            scheduler.floor,
            peer=True,
        )


def _solver(described: _Scheduler) -> Callable[[Denoiser, Tensor, Path, Noise], Tensor]:
    def solve(denoiser: Denoiser, x: Tensor, path: Path, noise: Noise) -> Tensor:
        shape = x.shape
        scheduler = _flow_scheduler(described, path) if described.flow else _scheduler(described, path)
        exploding = described.name in EXPLODING
        x = x.view(len(x), -1, 1, 1) / (math.sqrt(_alpha_squared(scheduler, path.levels[0])) if exploding else 1.0)
        with _noise_for(scheduler, lambda s, t: noise(s, t).view(x.shape)):
            for t in scheduler.timesteps[: len(path) * described.evaluations]:
                seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
                level = _level(described, path, float(t))
                output = _prediction(described, seen, denoiser(seen, level), level)
                x = scheduler.step(output, t, x, **described.step).prev_sample
        return x.double().view(shape) * (path.levels[-1].alpha if exploding else 1.0)

    return solve


EXPLODING = (
    "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "LMSDiscreteScheduler", "DPMSolverSDEScheduler",
)  # fmt: skip
"""Their x is x / alpha; they scale it for the network, which is variance preserving."""


SINGLE_PRECISION = (
    "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler", "DPMSolverMultistepScheduler",
    "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler",
)  # fmt: skip
"""Their step converts x, or their tables hold the levels, in float32 whatever is given."""


def _scheduler(described: _Scheduler, path: Path) -> Any:
    """Timestep i of the table is level len(path) - i of the path; the step from timestep 0 to clean is not taken."""
    cls, steps = scheduler_class(described), len(path)
    wanted = {
        "num_train_timesteps": steps + 1, "timestep_spacing": "trailing", "prediction_type": "v_prediction",
        "clip_sample": False, "rescale_betas_zero_snr": not path.levels[0].alpha,
    }  # fmt: skip
    known = inspect.signature(cls.__init__).parameters
    scheduler = cls(**{name: value for name, value in wanted.items() if name in known}, **described.options)
    squares = [_alpha_squared(scheduler, level) for level in reversed(path.levels)]
    scheduler.alphas_cumprod = torch.tensor(squares, dtype=torch.float64)
    scheduler.set_timesteps(steps + 1)
    if len(getattr(scheduler, "sigmas", ())) == steps + 2:
        ratios = [math.sqrt((1 - square) / square) if square else math.inf for square in reversed(squares)]
        scheduler.sigmas = torch.tensor([*ratios, 0.0], dtype=torch.float64)  # theirs, without rounding to float32
    if "timestep_spacing" not in scheduler.config:  # it would miss some levels and repeat others
        scheduler.timesteps = torch.arange(steps, -1, -1)
        scheduler.set_begin_index(0)
    return scheduler


def _flow_scheduler(described: _Scheduler, path: Path) -> Any:
    """Their tables of sigmas and timesteps are put in place: they take none that are given."""
    scheduler = scheduler_class(described)(**described.options)
    scheduler.set_timesteps(len(path) + 1)
    sigmas = torch.tensor([*(level.sigma for level in path.levels), 0.0], dtype=torch.float64)
    if described.evaluations == 2:
        sigmas = torch.cat([sigmas[:1], sigmas[1:].repeat_interleave(2)])
    scheduler.sigmas, scheduler.timesteps = sigmas, 1000 * sigmas[:-1]
    scheduler.set_begin_index(0)
    return scheduler


def scheduler_class(described: _Scheduler) -> Any:
    return getattr(importlib.import_module("diffusers"), described.name)


def _alpha_squared(scheduler: Any, level: Level) -> float:
    if not level.alpha and "rescale_betas_zero_snr" in scheduler.config:
        return LEAST
    return (level.alpha / level.norm) ** 2


def _level(described: _Scheduler, path: Path, t: float) -> Level:
    """What the network is told: the level of a timestep, between two of them linear in log(sigma/alpha)."""
    if described.flow:
        return Level(1 - t / 1000, t / 1000)
    place = len(path) - t
    before, share = math.floor(place), place - math.floor(place)
    if not share:
        return path.levels[before]
    low, high = (path.levels[i].half_logsnr for i in (before, before + 1))
    return variance_preserving(math.exp(-(max(low, math.log(LEAST) / 2) * (1 - share) + high * share)))


def _prediction(described: _Scheduler, x: Tensor, x0: Tensor, level: Level) -> Tensor:
    eps = (x - level.alpha * x0) / level.sigma
    return eps - x0 if described.flow else level.alpha * eps - level.sigma * x0


@contextmanager
def _noise_for(scheduler: Any, noise: Noise) -> Iterator[None]:
    """While it lasts, what the scheduler draws is ours."""
    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = Brownian(noise)
    module = sys.modules[type(scheduler).__module__]
    theirs = getattr(module, "randn_tensor", None)
    anywhere = Level(1.0, 1.0), Level(1.0, 0.5)
    module.randn_tensor = lambda shape, *_, dtype=None, **__: noise(*anywhere).to(dtype)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.randn_tensor = theirs  # type: ignore[attr-defined]

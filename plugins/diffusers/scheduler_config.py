"""What a diffusers scheduler's config says of the model: schedule, prediction, spacing. Read, never guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...samplers.protocols import NoiseSchedule
from ...samplers.schedules import (
    Cosine,
    Flow,
    Linear,
    ScaledLinear,
    SigmoidBetas,
    SNRShift,
    TrainedBetas,
    TrigFlow,
    ZeroTerminalSNR,
)
from ..prediction import Prediction, angle_time, flow_time

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
PREDICTION_TYPES = {**PREDICTIONS, "flow_prediction": "flow"}
SIGMA_SPACINGS = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_lu_lambdas": "exponential",
    "use_beta_sigmas": "beta",
}
SPARE = (
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
)
"""Schedulers that space one step more and leave out the cleanest."""

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
UNSUPPORTED = ("sigma_data", "invert_sigmas", "rescale_betas_snr")


def read_scheduler(name: str, config: Mapping[str, Any], mu: float | None = None) -> Prediction:
    """The prediction of the model that this scheduler belongs to.

    Args:
        name: the scheduler's class, such as ``DDIMScheduler``; "" where the config alone is known.
        mu: of dynamic shifting, which depends on the image size: the shift is exp(mu), or mu if linear.

    Raises:
        ValueError: for a scheduler or a value that is not known, naming it and the legal ones.
    """
    if is_continuous(name, config):
        return Prediction("v", TrigFlow(_timesteps(config)), angle_time)
    for key in UNSUPPORTED:
        if config.get(key):
            raise ValueError(f"{name} with {key} = {config[key]!r} is not supported; {_LEGAL}")
    if config.get("timestep_type") == "continuous":
        raise ValueError(f"{name} with timestep_type = 'continuous' is not supported: its network is told log sigma")
    if is_flow(name, config):
        return Prediction("flow", Flow(_shift(name, config, mu), _timesteps(config)), flow_time)
    if config.get("beta_schedule") is None and config.get("trained_betas") is None:
        raise ValueError(f"{name} is not supported: its config has neither betas nor flow; {_LEGAL}")
    kind = config.get("prediction_type", "epsilon")
    if kind not in PREDICTIONS:
        raise ValueError(f"{name} has prediction_type = {kind!r}: must be one of {_listed(PREDICTIONS)}")
    schedule = _betas(name, config)
    if config.get("snr_shift_scale"):
        schedule = SNRShift(schedule, math.sqrt(config["snr_shift_scale"]))
    if config.get("rescale_betas_zero_snr"):
        schedule = ZeroTerminalSNR(schedule)
    return Prediction(PREDICTIONS[kind], schedule)


def is_flow(name: str, config: Mapping[str, Any]) -> bool:
    """Whether the model learned rectified flow. Of the nameless configs, those of flow matching have a plain shift."""
    named = name.startswith("FlowMatch") or (not name and "shift" in config)
    return bool(named or config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction")


def is_continuous(name: str, config: Mapping[str, Any]) -> bool:
    """Whether the network predicts v at the angle atan(sigma/alpha), as Stable Audio's does."""
    cosine = name == "CosineDPMSolverMultistepScheduler" and config.get("prediction_type") == "v_prediction"
    return cosine and config.get("sigma_data") == 1


def read_spacing(name: str, config: Mapping[str, Any]) -> str:
    """The spacing of the steps, in its text form.

    Raises:
        ValueError: for a spacing that has no name here.
    """
    if is_continuous(name, config):
        return f"{config['sigma_schedule']}(sigma_min={config['sigma_min']}, sigma_max={config['sigma_max']})"
    sigmas = next((spacing for key, spacing in SIGMA_SPACINGS.items() if config.get(key)), None)
    if is_flow(name, config):
        if sigmas:
            raise ValueError(
                f"{name} spaces the sigmas of a flow as {sigmas!r}, which has no name here; give a spacing"
            )
        terminal = config.get("shift_terminal")
        return f"ltxv(terminal={terminal})" if terminal else "trailing"
    if sigmas:
        ends = [f"{key}={config[key]}" for key in ("sigma_min", "sigma_max") if config.get(key) is not None]
        return f"{sigmas}({', '.join(ends)})" if ends and sigmas != "beta" else sigmas
    if config.get("original_inference_steps"):
        return f"simple(grid={config['original_inference_steps']})"
    return timestep_spacing(name, config.get("timestep_spacing", "leading"), config.get("steps_offset") or 0)


def timestep_spacing(name: str, spacing: str, offset: int) -> str:
    """A scheduler's ``timestep_spacing`` in our text form.

    Raises:
        ValueError: for one that diffusers does not have.
    """
    spare = name in SPARE
    if spacing == "leading":
        return f"leading(offset={offset!r}, spare={int(spare)})"
    if spacing not in ("trailing", "linspace"):
        raise ValueError(f"{name} has timestep_spacing = {spacing!r}: must be one of 'trailing', 'leading', 'linspace'")
    return "sgm_uniform" if spare and spacing == "linspace" else spacing


def _betas(name: str, config: Mapping[str, Any]) -> NoiseSchedule:
    if config.get("trained_betas") is not None:
        return TrainedBetas(tuple(float(beta) for beta in config["trained_betas"]))
    kind, steps = config["beta_schedule"], _timesteps(config)
    if kind == "linear":
        return Linear(config["beta_start"], config["beta_end"], steps)
    if kind == "scaled_linear":
        return ScaledLinear(config["beta_start"], config["beta_end"], steps)
    if kind == "sigmoid":
        return SigmoidBetas(config["beta_start"], config["beta_end"], steps)
    if kind == "squaredcos_cap_v2":
        return Cosine(timesteps=steps)
    raise ValueError(f"{name} has beta_schedule = {kind!r}: must be one of {_listed(BETA_SCHEDULES)}")


def _shift(name: str, config: Mapping[str, Any], mu: float | None) -> float:
    if not config.get("use_dynamic_shifting"):
        return float(config.get("shift", config.get("flow_shift", 1.0)))
    if mu is None:
        raise ValueError(f"{name} has use_dynamic_shifting, but its pipeline gave no mu; set it to false, give a shift")
    return mu if config.get("time_shift_type") == "linear" else math.exp(mu)


def _timesteps(config: Mapping[str, Any]) -> int:
    return int(config["num_train_timesteps"])


def _listed(values: Any) -> str:
    return ", ".join(map(repr, values))


_LEGAL = f"legal are FlowMatch schedulers, and those with a beta_schedule of {_listed(BETA_SCHEDULES)} or trained_betas"

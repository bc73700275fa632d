"""What a diffusers scheduler's config says of the model: its schedule and its prediction. Read, never guessed."""

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
    ZeroTerminalSNR,
)
from ..prediction import Prediction, flow_time

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
UNSUPPORTED = ("sigma_data", "invert_sigmas", "rescale_betas_snr")


def read_scheduler(name: str, config: Mapping[str, Any], mu: float | None = None) -> Prediction:
    """The prediction of the model that this scheduler belongs to.

    Args:
        name: the scheduler's class, such as ``DDIMScheduler``.
        mu: of dynamic shifting, which depends on the image size: the shift is exp(mu), or mu if linear.

    Raises:
        ValueError: for a scheduler or a value that is not known, naming it and the legal ones.
    """
    for key in UNSUPPORTED:
        if config.get(key):
            raise ValueError(f"{name} with {key} = {config[key]!r} is not supported; {_LEGAL}")
    flow = name.startswith("FlowMatch") or config.get("use_flow_sigmas")
    if flow or config.get("prediction_type") == "flow_prediction":
        return Prediction("flow", Flow(_shift(name, config, mu), _timesteps(config)), flow_time)
    if not {"beta_schedule", "trained_betas"} & config.keys():
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

"""The model in the words of our scheduler's config: read from another scheduler's, and read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...samplers.protocols import NoiseSchedule
from ...samplers.schedules import SNRShift, TrigFlow
from ..prediction import Prediction, angle_time, flow_time, grid_time
from ..registry import build, describe
from .scheduler_config import PREDICTION_TYPES, read_scheduler, read_spacing

FIELDS = ("schedule", "prediction_type", "num_train_timesteps", "use_dynamic_shifting", "time_shift_type")


def model_settings(name: str, config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given settings, and for what is missing (or None) what a scheduler's config says of the model.

    Args:
        name: the scheduler's class, "" where only its config is known.

    Raises:
        ValueError: for a model that cannot be read; see ``read_scheduler``.
    """
    given = {key: value for key, value in given.items() if value is not None}
    if is_ours(name, config):
        model = {key: config[key] for key in ("spacing", *FIELDS)}
    else:
        model = _read(name, config)
        if "spacing" not in given:
            model["spacing"] = read_spacing(name, config)
    if "schedule" in given:
        model["use_dynamic_shifting"] = False
    return {**model, **given}


def is_ours(name: str, config: Mapping[str, Any]) -> bool:
    """Whether it is a config of our scheduler, of which others may keep entries."""
    return name in ("", "StepScheduler") and "sampler" in config


def _read(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    dynamic = bool(config.get("use_dynamic_shifting"))
    unshifted = {"use_dynamic_shifting": False, "shift": 1.0, "flow_shift": 1.0} if dynamic else {}
    prediction = read_scheduler(name, {**config, **unshifted})
    return {
        "schedule": describe("schedule", prediction.schedule),
        "prediction_type": next(key for key, kind in PREDICTION_TYPES.items() if kind == prediction.kind),
        "num_train_timesteps": prediction.schedule.timesteps,
        "use_dynamic_shifting": dynamic,
        "time_shift_type": config.get("time_shift_type") or "exponential",
    }


def prediction_of(config: Mapping[str, Any], mu: float | None = None) -> Prediction:
    """What the network predicts, its schedule shifted by the mu of an image's size if the model wants that.

    Raises:
        ValueError: if the model is not known, or its mu.
    """
    if not knows_model(config):
        raise ValueError(
            "this scheduler does not know the model: assign it to a pipeline that has a scheduler, make it with "
            "scheduler(name, like=that_scheduler), or give both schedule and prediction_type"
        )
    schedule: NoiseSchedule = build("schedule", config["schedule"])
    if config["use_dynamic_shifting"]:
        if mu is None:
            raise ValueError("this model's shift depends on the size of the image: give set_timesteps its mu")
        schedule = SNRShift(schedule, mu if config["time_shift_type"] == "linear" else math.exp(mu))
    kind = PREDICTION_TYPES[config["prediction_type"]]
    if kind == "flow":
        return Prediction(kind, schedule, flow_time)
    return Prediction(kind, schedule, angle_time if isinstance(schedule, TrigFlow) else grid_time)


def knows_model(config: Mapping[str, Any]) -> bool:
    return bool(config["schedule"] and config["prediction_type"])

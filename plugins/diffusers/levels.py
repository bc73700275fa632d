"""The levels of a run from what a pipeline gives: a number of steps, times, or sigmas."""

from __future__ import annotations

from collections.abc import Sequence

from ...samplers.level import CLEAN, Level
from ...samplers.protocols import Spacing
from ..prediction import Prediction, angle_time

NEAR = 1e-6
"""How far the sigmas of a pipeline, float32 some of them, may be from even ones."""


def level_at(prediction: Prediction, time: float) -> Level:
    """The level at which the network is told that time; of a flow, time / T is sigma."""
    trained = prediction.schedule.timesteps
    if prediction.kind == "flow":
        return Level(1 - time / trained, time / trained)
    return prediction.schedule.level(time if prediction.time is angle_time else (time + 1) / trained)


def levels_asked(
    prediction: Prediction,
    spacing: Spacing,
    steps: int | None,
    times: Sequence[float] | None,
    sigmas: Sequence[float] | None,
) -> list[Level]:
    """The levels of the times if there are any, else of the sigmas, else of so many steps.

    Raises:
        ValueError: if nothing is given.
    """
    if times is not None:
        return levels_at_times(prediction, times)
    if sigmas is not None:
        return levels_of_sigmas(prediction, spacing, sigmas)
    if steps is None:
        raise ValueError("set_timesteps needs num_inference_steps, timesteps or sigmas")
    return spacing(prediction.schedule, steps)


def levels_at_times(prediction: Prediction, times: Sequence[float]) -> list[Level]:
    return [level_at(prediction, float(time)) for time in times] + [CLEAN]


def levels_of_sigmas(prediction: Prediction, spacing: Spacing, sigmas: Sequence[float]) -> list[Level]:
    """sigma/alpha; of a flow, its own sigma before the shift, as pipelines give it.

    Pipelines of flow models that were asked for n steps give 1, 1 - 1/n ... 1/n: these are n steps, spread by the
    spacing. A last 0 is clean, and is added where it is missing.
    """
    values = [float(sigma) for sigma in sigmas]
    steps = len(values)
    if prediction.kind != "flow":
        noisy = values if values[-1] else values[:-1]
        return [prediction.schedule.project(Level(1.0, sigma)) for sigma in noisy] + [CLEAN]
    if all(abs(sigma - (1 - i / steps)) < NEAR for i, sigma in enumerate(values)):
        return spacing(prediction.schedule, steps)
    return [prediction.schedule.level(sigma) for sigma in values if sigma] + [CLEAN]


def sigma_of(prediction: Prediction, level: Level) -> float:
    """What a pipeline calls sigma: that of the flow, else sigma/alpha."""
    return level.sigma / (level.alpha + level.sigma) if prediction.kind == "flow" else level.ve_sigma

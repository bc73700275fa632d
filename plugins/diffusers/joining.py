"""How a scheduler or a guider learns what the model is: from the scheduler that a pipeline has, or had."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from diffusers import DiffusionPipeline

from .model_settings import model_settings
from .scheduler import StepScheduler

if TYPE_CHECKING:
    from .guider import StepGuider


def adopt_when_assigned() -> None:
    """Let ``pipe.scheduler = ours`` hand over the config of the scheduler that was there.

    diffusers tells a scheduler nothing of its pipeline, so assignment is extended, for instances of ``StepScheduler``
    only. Done once, and only for a scheduler made without ``like``.
    """
    assign = DiffusionPipeline.__setattr__
    if hasattr(assign, "adopts"):
        return

    @functools.wraps(assign)
    def adopting(pipe: Any, name: str, value: Any) -> None:
        if isinstance(value, StepScheduler):
            value.adopt(vars(pipe).get(name))
        assign(pipe, name, value)

    adopting.adopts = True  # type: ignore[attr-defined]
    DiffusionPipeline.__setattr__ = adopting  # type: ignore[method-assign]


def scheduler(
    sampler: str,
    like: Any = None,
    *,
    spacing: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    seed: int | None = None,
    guider: StepGuider | None = None,
) -> StepScheduler:
    """A diffusers scheduler that samples with ``sampler``: ``pipe.scheduler = scheduler("res_2s", spacing="beta")``.

    Args:
        sampler: a registered one, in text form, such as ``dpmpp_2m_sde(eta=0.5)``.
        like: a pipeline or a scheduler that knows the model; by default the scheduler that assignment replaces.
        spacing, schedule: in text form; by default the model's.
        prediction_type: by default the model's.
        seed: of the noise within a run where the pipeline has no generator for it.
        guider: that of the pipeline, for samplers such as ``cfg_pp`` which need its predictions one by one.

    Raises:
        ValueError: for what cannot be served, naming it and the remedy.
    """
    given = {"spacing": spacing, "schedule": schedule, "prediction_type": prediction_type}
    if like is None:
        adopt_when_assigned()
        made = StepScheduler(sampler, seed=seed, **given)
    else:
        known = getattr(like, "scheduler", like)
        config = {**known.config, "_class_name": type(known).__name__}
        given = {key: text for key, text in given.items() if text}
        made = StepScheduler.from_config(config, sampler=sampler, seed=seed, **given)
    if guider:
        made.guider, guider.needs = guider, tuple(name for name in made.sampler.needs if name != "variance")
    made.check_needs()
    return made


def guider(guidance: str, like: Any) -> StepGuider:
    """A guider for modular pipelines: ``pipe.update_components(guider=guider("apg(5)", like=pipe))``.

    Args:
        guidance: a registered one, in text form.
        like: a pipeline or a scheduler that knows the model.

    Raises:
        ValueError: for what cannot be served, naming it and the remedy.
    """
    from .guider import StepGuider

    known = getattr(like, "scheduler", like)
    model = model_settings(type(known).__name__, known.config, {"spacing": "trailing"})
    return StepGuider(guidance=guidance, schedule=model["schedule"], prediction_type=model["prediction_type"])

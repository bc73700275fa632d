"""Our names at the end of ComfyUI's own lists of samplers and schedulers, as in KSampler.

The lists are appended to in place, for others hold on to them; a name that is there, from a second copy of this pack,
stays as it is.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..registry import build, catalogue
from .schedule import schedule_of, walk

PREFIX = "sigmabench_"
FIRST_FINITE = 80.0


def append() -> None:
    """Add every sampler and spacing with its default settings."""
    import comfy.k_diffusion.sampling
    import comfy.samplers

    from .driver import SUPPLIED
    from .samplers import ksampler

    for name in catalogue("sampler"):
        sampler, shown = build("sampler", name), PREFIX + name
        if set(sampler.needs) <= set(SUPPLIED) and not hasattr(comfy.k_diffusion.sampling, f"sample_{shown}"):
            setattr(comfy.k_diffusion.sampling, f"sample_{shown}", ksampler(shown, sampler).sampler_function)
            _append(
                shown, comfy.samplers.KSAMPLER_NAMES, comfy.samplers.SAMPLER_NAMES, comfy.samplers.KSampler.SAMPLERS
            )
    for name in catalogue("spacing"):
        shown = PREFIX + name
        comfy.samplers.SCHEDULER_HANDLERS.setdefault(shown, comfy.samplers.SchedulerHandler(Scheduler(name)))
        _append(shown, comfy.samplers.SCHEDULER_NAMES, comfy.samplers.KSampler.SCHEDULERS)


class Scheduler:
    """A spacing as ComfyUI's scheduler function.

    A list has no place for settings: on a model that starts at pure noise, where spacings of sigma must be told the
    first finite one, it is 80, as in EDM.
    """

    def __init__(self, name: str) -> None:
        self.__name__, self.spacing = name, build("spacing", name)

    def __call__(self, model_sampling: Any, steps: int) -> Any:
        from .process import process_of

        schedule, spacing = schedule_of(model_sampling), self.spacing
        if not schedule.level(1.0).alpha and getattr(spacing, "sigma_max", 0) is None:
            spacing = dataclasses.replace(spacing, sigma_max=FIRST_FINITE)
        try:
            return walk(spacing, schedule, process_of(model_sampling), steps, 1.0)
        except ValueError as error:
            raise ValueError(f"scheduler {PREFIX}{self.__name__}: {error}") from None


def _append(name: str, *lists: list[str]) -> None:
    for names in lists:
        if name not in names:
            names.append(name)

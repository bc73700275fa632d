"""SAMPLER nodes of samplers, SIGMAS nodes of spacings and of schedules."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..registry import Entry, build, catalogue
from . import widgets
from .node_class import DENOISE, STEPS, node_class, sockets

MODEL_SCHEDULE = "model"


def sampler_node(entry: Entry) -> type:
    """A node that gives a SAMPLER."""

    def execute(self: Any, **given: Any) -> tuple[Any]:
        from .samplers import ksampler, sampler_in

        nested = {name: sampler_in(name, given[name]) for name in sockets(entry) if given.get(name) is not None}
        return (ksampler(entry.name, entry.cls(**widgets.settings_of(entry.cls, {**given, **nested}))),)

    return node_class(entry, "Sampler", "samplers", {}, {"sampler": "SAMPLER"}, execute)


def spacing_node(entry: Entry) -> type:
    """A node that gives the SIGMAS of a spacing over a model's own schedule."""

    def execute(self: Any, model: Any, steps: int, denoise: float, **given: Any) -> tuple[Any]:
        from .process import process_of
        from .schedule import schedule_of, walk

        sampling = model.get_model_object("model_sampling")
        spacing = entry.cls(**widgets.settings_of(entry.cls, given))
        return (walk(spacing, schedule_of(sampling), process_of(sampling), steps, denoise),)

    first = {"model": ("MODEL", {"tooltip": "whose noise schedule is walked"}), "steps": STEPS, "denoise": DENOISE}
    return node_class(entry, "Sigmas", "spacings", first, {"sigmas": "SIGMAS"}, execute)


def schedule_node(entry: Entry) -> type:
    """A node that gives the SIGMAS of a spacing over another noise schedule, up to the model's noisiest level."""

    def execute(self: Any, model: Any, spacing: str, steps: int, denoise: float, **given: Any) -> tuple[Any]:
        from .process import process_of
        from .schedule import Until, schedule_of, walk

        sampling = model.get_model_object("model_sampling")
        own = schedule_of(sampling)
        given = {name: own if value == MODEL_SCHEDULE else value for name, value in given.items()}
        schedule = Until(entry.cls(**widgets.settings_of(entry.cls, given)), own.level(1.0))
        return (walk(build("spacing", spacing), schedule, process_of(sampling), steps, denoise),)

    first = {
        "model": ("MODEL", {"tooltip": "the walk starts at its noisiest level"}),
        "spacing": (list(catalogue("spacing")), {"default": "trailing", "tooltip": "how steps are spread over it"}),
        "steps": STEPS,
        "denoise": DENOISE,
    }
    nested = [field for field in dataclasses.fields(entry.cls) if field.metadata.get("kind") == "schedule"]
    first |= {field.name: _or_the_models(widgets.spec(field)) for field in nested}
    without = {field.name for field in nested}
    return node_class(entry, "Schedule", "schedules", first, {"sigmas": "SIGMAS"}, execute, without=without)


def _or_the_models(spec: widgets.Spec) -> widgets.Spec:
    return [MODEL_SCHEDULE, *spec[0]], spec[1]

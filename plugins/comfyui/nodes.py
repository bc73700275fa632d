"""Nodes made from the registry: a class for each plugin, its inputs from the fields of its settings.

SAMPLER     a sampler, for SamplerCustom and SamplerCustomAdvanced
SIGMAS      a spacing over the model's noise schedule, or over another schedule
GUIDER      a guidance method with its conditionings
MODEL       a guidance method that takes the place of CFG in whatever samples this model
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Callable, Iterator, Set
from typing import Any

from ..registry import Entry, build, catalogue
from . import widgets

CATEGORY = "sigmabench"
MODEL_SCHEDULE = "model"
MODEL = ("MODEL", {"tooltip": "the model to sample"})
STEPS = ("INT", {"default": 20, "min": 1, "max": 10_000, "tooltip": "number of steps"})
DENOISE = (
    "FLOAT",
    {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": "below 1: the last part, for image to image"},
)  # fmt: skip
CONDITIONINGS = {
    "positive": "what to show",
    "negative": "what to keep away from, or the empty prompt",
    "empty": "the empty prompt",
    "middle": "the condition between both, such as the image alone",
    "other": "a further condition",
}


def mappings() -> tuple[dict[str, type], dict[str, str]]:
    """Every node by its id, and the names shown."""
    from .noise import SigmabenchNoise
    from .zero_snr import SigmabenchZeroSNR

    found = [*_all(), (SigmabenchNoise, "noise for each image"), (SigmabenchZeroSNR, "zero terminal SNR")]
    return {cls.__name__: cls for cls, _ in found}, {cls.__name__: title for cls, title in found}


def _all() -> Iterator[tuple[type, str]]:
    for entry in catalogue("sampler").values():
        yield sampler_node(entry), f"{entry.name} (sampler)"
    for entry in catalogue("spacing").values():
        yield spacing_node(entry), f"{entry.name} (spacing)"
    for entry in catalogue("schedule").values():
        yield schedule_node(entry), f"{entry.name} (schedule)"
    for entry in catalogue("guidance").values():
        from .guidance import inputs

        if inputs(entry.cls()) is None:
            logging.info("Sigmabench: no node for guidance %s, which needs more than conditionings", entry.name)
            continue
        yield guider_node(entry), f"{entry.name} (guider)"
        yield patch_node(entry), f"{entry.name} (model patch)"


def sampler_node(entry: Entry) -> type:
    """A node that gives a SAMPLER."""

    def execute(self: Any, **given: Any) -> tuple[Any]:
        from .samplers import ksampler, sampler_in

        nested = {name: sampler_in(name, given[name]) for name in _sockets(entry) if given.get(name) is not None}
        return (ksampler(entry.name, entry.cls(**widgets.settings_of(entry.cls, {**given, **nested}))),)

    return _node(entry, "Sampler", "samplers", {}, {"sampler": "SAMPLER"}, execute)


def spacing_node(entry: Entry) -> type:
    """A node that gives the SIGMAS of a spacing over a model's own schedule."""

    def execute(self: Any, model: Any, steps: int, denoise: float, **given: Any) -> tuple[Any]:
        from .process import process_of
        from .schedule import schedule_of, walk

        sampling = model.get_model_object("model_sampling")
        spacing = entry.cls(**widgets.settings_of(entry.cls, given))
        return (walk(spacing, schedule_of(sampling), process_of(sampling), steps, denoise),)

    first = {"model": ("MODEL", {"tooltip": "whose noise schedule is walked"}), "steps": STEPS, "denoise": DENOISE}
    return _node(entry, "Sigmas", "spacings", first, {"sigmas": "SIGMAS"}, execute)


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
    return _node(entry, "Schedule", "schedules", first, {"sigmas": "SIGMAS"}, execute)


def guider_node(entry: Entry) -> type:
    """A node that gives a GUIDER: of a model and conditionings, or around another guider."""
    from .guidance import inner, inputs

    default = entry.cls()
    wrapped, conditionings = inner(default), inputs(default) or {}

    def around(self: Any, **given: Any) -> tuple[Any]:
        from .guiders import wrap

        guider = given.pop(str(wrapped))
        settings = widgets.settings_of(entry.cls, _unwrapped(entry, given))
        return (wrap(guider, lambda guidance: entry.cls(**{**settings, str(wrapped): guidance})),)

    def plain(self: Any, model: Any, **given: Any) -> tuple[Any]:
        from .guiders import guider

        conds = {branch: given.pop(name) for branch, name in conditionings.items()}
        return (guider(model, entry.cls(**widgets.settings_of(entry.cls, _unwrapped(entry, given))), conds),)

    if wrapped:
        return _node(entry, "Guider", "guidance/guiders", {}, {"guider": "GUIDER"}, around, needs={wrapped})
    first = {"model": MODEL, **{name: _conditioning(name) for name in conditionings.values()}}
    return _node(entry, "Guider", "guidance/guiders", first, {"guider": "GUIDER"}, plain)


def patch_node(entry: Entry) -> type:
    """A node that puts a method on a MODEL, whose scale is then the cfg of the KSampler or guider."""
    from .guidance import inner, inputs

    default = entry.cls()
    wrapped = inner(default)
    extra = {branch: name for branch, name in (inputs(default) or {}).items() if name in ("empty", "middle", "other")}

    def execute(self: Any, model: Any, **given: Any) -> tuple[Any]:
        from .guidance import guidance_on, patched

        conds = {branch: given.pop(name) for branch, name in extra.items()}
        settings = widgets.settings_of(entry.cls, _unwrapped(entry, given))
        if wrapped:
            settings[wrapped] = guidance_on(model)
        return (patched(model, entry.cls(**settings), conds),)

    first = {"model": MODEL, **{name: _conditioning(name) for name in extra.values()}}
    hidden = {"scale", wrapped} if wrapped else {"scale"}
    return _node(entry, "Model", "guidance/model patches", first, {"model": "MODEL"}, execute, without=hidden)


def _unwrapped(entry: Entry, given: dict[str, Any]) -> dict[str, Any]:
    """The inputs with the methods of connected guiders in their place."""
    from .guiders import guidance_in

    nested = [name for name in _sockets(entry) if given.get(name) is not None]
    return {**given, **{name: guidance_in(name, given[name]) for name in nested}}


def _conditioning(name: str) -> widgets.Spec:
    return "CONDITIONING", {"tooltip": CONDITIONINGS[name]}


def _or_the_models(spec: widgets.Spec) -> widgets.Spec:
    return [MODEL_SCHEDULE, *spec[0]], spec[1]


def _sockets(entry: Entry) -> list[str]:
    return [field.name for field in dataclasses.fields(entry.cls) if field.metadata.get("kind") in widgets.SOCKETS]


def _node(
    entry: Entry, family: str, folder: str, first: dict[str, Any], output: dict[str, str], execute: Callable[..., Any],
    without: Set[str] = frozenset(), needs: Set[str] = frozenset(),
) -> type:  # fmt: skip
    """A V1 node class: ``first`` and the fields as inputs, sockets for nested plugins optional unless needed."""
    fields = [field for field in dataclasses.fields(entry.cls) if field.name not in without]
    specs = {field.name: widgets.spec(field) for field in fields}
    if family == "Schedule":
        specs |= {f.name: _or_the_models(specs[f.name]) for f in fields if f.metadata.get("kind") == "schedule"}
    optional = {name: specs.pop(name) for name in _sockets(entry) if name in specs and name not in needs}
    inputs = {"required": {**first, **specs}, "optional": optional}
    return type(
        f"Sigmabench{family}_{entry.name}",
        (),
        {
            "ENTRY": entry,
            "INPUTS": inputs,
            "INPUT_TYPES": classmethod(lambda cls: cls.INPUTS),
            "RETURN_TYPES": tuple(output.values()),
            "RETURN_NAMES": tuple(output),
            "FUNCTION": "execute",
            "CATEGORY": f"{CATEGORY}/{folder}",
            "DESCRIPTION": inspect.cleandoc(entry.cls.__doc__ or ""),
            "execute": execute,
        },
    )

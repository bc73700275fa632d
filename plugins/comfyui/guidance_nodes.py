"""GUIDER nodes of guidance methods, and MODEL nodes that put one in the place of CFG."""

from __future__ import annotations

from typing import Any

from ..registry import Entry
from . import widgets
from .conditionings import inner, inputs, of_unets, scale_of, with_scale
from .node_class import MODEL, conditioning, node_class, sockets

INSTEAD = "In the place of CFG in whatever samples this model: its scale is the cfg of the KSampler or guider."
AROUND = "It goes around the CFG, or the other method, of the model, whose scale is the cfg of the KSampler or guider."
UNETS = "For U-Nets: Stable Diffusion 1 to XL."
OWN = ("positive", "negative")
"""Conditionings that every guider has."""


def guider_node(entry: Entry) -> type:
    """A node that gives a GUIDER: of a model and conditionings, or around another guider."""
    default = entry.cls()
    wrapped, conditionings = inner(default), inputs(default) or {}

    def around(self: Any, **given: Any) -> tuple[Any]:
        from .guiders import wrap

        guider = given.pop(str(wrapped))
        others = {name: given.pop(name) for name in sockets(entry, "guidance") if given.get(name) is not None}
        return (wrap(guider, str(wrapped), others, entry.cls, widgets.settings_of(entry.cls, given)),)

    def plain(self: Any, model: Any, **given: Any) -> tuple[Any]:
        from .guiders import guider

        conds = {branch: given.pop(name) for branch, name in conditionings.items()}
        return (guider(model, entry.cls(**widgets.settings_of(entry.cls, given)), conds),)

    needs, note = set(sockets(entry, "backend")), UNETS if of_unets(default) else ""
    family, output = ("Guider", "guidance/guiders"), {"guider": "GUIDER"}
    if wrapped:
        return node_class(entry, *family, {}, output, around, needs={wrapped, *needs}, note=note)
    first = {"model": MODEL, **{name: conditioning(name) for name in conditionings.values()}}
    return node_class(entry, *family, first, output, plain, needs=needs, note=note)


def patch_node(entry: Entry) -> type:
    """A node that puts a method on a MODEL, whose scale of CFG is then the cfg of the KSampler or guider.

    A method around another one goes around what the MODEL carries; of a further one there is the scale.
    """
    default = entry.cls()
    wrapped = inner(default)
    others = [name for name in sockets(entry, "guidance") if name != wrapped and getattr(default, name) is not None]
    extra = {branch: name for branch, name in (inputs(default) or {}).items() if name not in OWN}

    def execute(self: Any, model: Any, **given: Any) -> tuple[Any]:
        from .guidance import guidance_on, patched

        conds = {branch: given.pop(name) for branch, name in extra.items()}
        nested = {name: with_scale(getattr(default, name), given.pop(f"{name}_scale")) for name in others}
        settings = {**widgets.settings_of(entry.cls, given), **nested}
        if wrapped:
            settings[wrapped] = guidance_on(model)
        return (patched(model, entry.cls(**settings), conds),)

    first = {"model": MODEL, **{name: conditioning(name) for name in extra.values()}}
    first |= {f"{name}_scale": _scale(name, scale_of(getattr(default, name))) for name in others}
    without, needs = set(sockets(entry, "guidance")) or {"scale"}, set(sockets(entry, "backend"))
    note = " ".join([*([UNETS] if of_unets(default) else []), AROUND if wrapped else INSTEAD])
    return node_class(
        entry, "Model", "guidance/model patches", first, {"model": "MODEL"}, execute, without, needs, note
    )


def _scale(name: str, default: float) -> widgets.Spec:
    options = {"default": default, "min": 0.0, "max": 1000.0, "step": 0.01, "round": False}
    return "FLOAT", {**options, "tooltip": f"the cfg of {name}; 1 is no guidance"}

"""A ComfyUI node class for a plugin: its inputs from the fields of its settings."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Set
from typing import Any

from ..registry import Entry
from . import widgets

CATEGORY = "sigmabench"
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


def node_class(
    entry: Entry, family: str, folder: str, first: dict[str, Any], output: dict[str, str], execute: Callable[..., Any],
    without: Set[str] = frozenset(), needs: Set[str] = frozenset(), note: str = "",
) -> type:  # fmt: skip
    """A V1 node class: ``first`` and the fields as inputs, sockets for nested plugins optional unless needed.

    Its description is the plugin's, and a note on what is the node's own.
    """
    specs = {f.name: widgets.spec(f) for f in dataclasses.fields(entry.cls) if f.name not in without}
    optional = {name: specs.pop(name) for name in sockets(entry) if name in specs and name not in needs}
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
            "DESCRIPTION": "\n\n".join(filter(None, (inspect.cleandoc(entry.cls.__doc__ or ""), note))),
            "execute": execute,
        },
    )


def sockets(entry: Entry, *kinds: str) -> list[str]:
    """The fields that are connected, of these kinds or of any."""
    return [f.name for f in dataclasses.fields(entry.cls) if f.metadata.get("kind") in (kinds or widgets.SOCKETS)]


def conditioning(name: str) -> widgets.Spec:
    return "CONDITIONING", {"tooltip": CONDITIONINGS[name]}

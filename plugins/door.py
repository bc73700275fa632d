"""What a class must be to enter the registry. Each refusal says which plugin, which name, and what to change."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator

NAME = re.compile(r"[a-z0-9_]+")
REFERENCE = re.compile(r"arXiv:\d{4}\.\d{4,5}|doi:|https?://")
METHODS = {
    "sampler": ("__call__",),
    "schedule": ("level", "time", "project"),
    "spacing": ("__call__",),
    "guidance": ("branches", "start"),
    "backend": ("load",),
    "metric": ("observers", "evaluate"),
}
ATTRIBUTES = {
    "sampler": ("order", "stochastic", "evaluations", "needs"),
    "metric": ("higher_is_better", "minimum"),
}
PUBLISHED = ("sampler", "schedule", "spacing", "guidance")


class PluginError(Exception):
    """A plugin that cannot be registered, or a duplicate name."""


def check_entry(kind: str, name: str, cls: type, plugin: str) -> None:
    """Raise ``PluginError`` listing everything that keeps ``cls`` out."""
    faults = list(_faults(kind, name, cls))
    if faults:
        raise PluginError(f"plugin {plugin!r}, {kind} {name!r}: " + "; ".join(faults))


def _faults(kind: str, name: str, cls: type) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield "the name must match [a-z0-9_]+"
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        yield "it must be a frozen dataclass, for example by @sigmabench.samplers.settings"
        return
    if not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "the dataclass must be frozen"
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            yield f"field {field.name!r} needs a default"
    yield from (f"method {method!r} is missing" for method in METHODS[kind] if not callable(getattr(cls, method, None)))
    yield from (f"class attribute {a!r} is missing" for a in ATTRIBUTES.get(kind, ()) if not hasattr(cls, a))
    if kind == "sampler" and not inspect.isgeneratorfunction(cls.__call__):
        yield "__call__ must be a generator function that yields (x, level) and receives (x, x0)"
    doc = cls.__dict__.get("__doc__") or ""
    if doc.startswith(cls.__name__ + "("):
        yield "a docstring is missing"
    elif kind in PUBLISHED and not REFERENCE.search(doc):
        yield "the docstring must name its source as arXiv:NNNN.NNNNN, doi: or a link"

"""What is known of every plugin, and of other programs' names for pairs of them, as plain data."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from ..plugins.door import REFERENCE
from ..plugins.hookspecs import KINDS
from ..plugins.names import Resolved, known_names
from ..plugins.registry import Entry, catalogue
from ..samplers.settings import legal_values

NAMES = "names"
Rows = dict[str, list[dict[str, Any]]]
"""The rows of each kind of plugin, and those of the names."""


def describe_all() -> Rows:
    """Everything that is registered."""
    kinds = {kind: [describe_entry(entry) for entry in catalogue(kind).values()] for kind in KINDS}
    return {**kinds, NAMES: known_rows()}


def describe_entry(entry: Entry) -> dict[str, Any]:
    """What is known of a plugin without running it."""
    cls = entry.cls
    reference = re.search(rf"(?:{REFERENCE.pattern})\S*", cls.__doc__ or "")
    row: dict[str, Any] = {
        "name": entry.name,
        "settings": {
            f.name: {"default": _default(f), "legal": legal_values(f), "help": f.metadata.get("help", "")}
            for f in dataclasses.fields(cls)
        },
        "summary": entry.summary,
        "reference": reference[0].rstrip(".,;)") if reference else "",
        "aliases": list(entry.aliases),
        "plugin": f"{entry.plugin} {entry.version}".strip(),
        "module": cls.__module__,
    }
    if entry.kind == "sampler":
        default = cls()  # the order and the cost of some methods depend on their settings
        row |= {"order": default.order, "evaluations": default.evaluations, "stochastic": default.stochastic}
    return row


def _default(field: dataclasses.Field[Any]) -> Any:
    value = field.default
    return value if isinstance(value, (int, float, str, bool, type(None))) else repr(value)


def known_rows() -> list[dict[str, Any]]:
    """The names of other programs."""
    return [
        {"host": known.host, "reason": known.reason, **dataclasses.asdict(known.resolved or _nothing(known.name))}
        for known in known_names()
    ]


def _nothing(name: str) -> Resolved:
    return Resolved(name, sampler="", spacing="")

"""From the fields of a plugin's settings to ComfyUI's widgets, and from their values to settings."""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..registry import build, catalogue, describe

NONE = "none"
LARGEST = 1e9
"""The end of a range that has none: ComfyUI needs a number."""
SOCKETS = {"sampler": "SAMPLER", "guidance": "GUIDER", "backend": "MODEL"}
"""Kinds of plugins that are connected; of others, one is chosen by name with its default settings."""

Spec = tuple[Any, dict[str, Any]]


def spec(field: dataclasses.Field[Any]) -> Spec:
    """ComfyUI's description of an input: its type or list of choices, and its options."""
    tooltip = {"tooltip": field.metadata.get("help", "")}
    kind, choices, default = field.metadata.get("kind"), field.metadata.get("choices"), field.default
    if kind in SOCKETS:
        return SOCKETS[kind], {"tooltip": tooltip["tooltip"].partition(", such as")[0]}
    if kind:
        names = list(catalogue(kind))
        chosen = NONE if default is None else describe(kind, default)
        return [chosen, *(name for name in names if name != chosen)], tooltip
    if choices:
        return list(map(str, choices)), {"default": str(default), **tooltip}
    if isinstance(default, bool):
        return "BOOLEAN", {"default": default, **tooltip}
    if isinstance(default, (tuple, str)):
        text = ", ".join(map(repr, default)) if isinstance(default, tuple) else default
        return "STRING", {"default": text, **tooltip}
    return _number(field, tooltip)


def value(field: dataclasses.Field[Any], given: Any) -> Any:
    """The setting that an input's value stands for.

    Raises:
        ValueError: for text that is no list of numbers, naming the field.
    """
    choices, default = field.metadata.get("choices"), field.default
    if field.metadata.get("kind"):
        return None if given == NONE else build(field.metadata["kind"], given) if isinstance(given, str) else given
    if choices:
        return next(choice for choice in choices if str(choice) == given)
    if isinstance(default, tuple):
        return _numbers(field.name, given)
    if default is None and given == _nothing(field):
        return None
    return given


def settings_of(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a class among the values of a node's inputs; what is not given keeps its default."""
    fields = [field for field in dataclasses.fields(cls) if given.get(field.name) is not None]
    return {field.name: value(field, given[field.name]) for field in fields}


def _number(field: dataclasses.Field[Any], tooltip: dict[str, Any]) -> Spec:
    low, high = field.metadata.get("low"), field.metadata.get("high")
    default: Any = field.default
    whole = "int" in str(field.type)
    low, high = -LARGEST if low is None else low, LARGEST if high is None else high
    if default is None:
        default = low = _nothing(field)
        tooltip = {"tooltip": f"{tooltip['tooltip']}; {default:g} leaves it out"}
    if whole:
        return "INT", {"default": int(default), "min": int(low), "max": int(high), **tooltip}
    numbers = {"default": float(default), "min": float(low), "max": float(high), "step": _step(float(default))}
    return "FLOAT", {**numbers, "round": False, **tooltip}


def _nothing(field: dataclasses.Field[Any]) -> int:
    """The number below every legal one, which stands for a setting that is left out."""
    low = field.metadata.get("low")
    return -1 if low is None or low > -1 else math.floor(low) - 1


def _step(default: float) -> float:
    """What an arrow of the widget adds, which is also how exactly it shows a number: the default's last digit."""
    exponent = Decimal(repr(default)).as_tuple().exponent
    return 10.0 ** min(-2, int(exponent))


def _numbers(name: str, text: str) -> tuple[Any, ...]:
    """Numbers, or rows of numbers in brackets."""
    try:
        found = ast.literal_eval(f"({text},)")
        return tuple(tuple(map(float, part)) if isinstance(part, tuple) else float(part) for part in found)
    except (SyntaxError, ValueError, TypeError):
        raise ValueError(f"{name} = {text!r}: write numbers with commas between, such as 0.03, 1, 14.6") from None

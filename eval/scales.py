"""The guidance scale: a method's own or, of a wrapper such as ``interval``, that of what it wraps."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


def scaled(guidance: Any, scale: float) -> Any:
    """The method with another scale; one that has none is returned as it is."""
    if hasattr(guidance, "scale"):
        return dataclasses.replace(guidance, scale=scale)
    return dataclasses.replace(guidance, **{name: scaled(method, scale) for name, method in _wrapped(guidance).items()})


def scale_of(guidance: Any) -> float:
    """The scale; nan where there is none."""
    if hasattr(guidance, "scale"):
        return guidance.scale
    return next((scale_of(method) for method in _wrapped(guidance).values()), math.nan)


def _wrapped(guidance: Any) -> dict[str, Any]:
    nested = [field.name for field in dataclasses.fields(guidance) if field.metadata.get("kind") == "guidance"]
    return {name: getattr(guidance, name) for name in nested if getattr(guidance, name) is not None}

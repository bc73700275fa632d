"""What a guidance method needs, as inputs of a node: conditionings, and a scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ...samplers.level import PURE_NOISE, variance_preserving
from ...samplers.perturbation import Branch, Perturbed, WeakModel, conditions_of
from ...samplers.protocols import Guidance
from .changed import OF_UNETS, SERVED

INPUTS = {"cond": "positive", "uncond": "negative", "middle": "middle", "other": "other"}
"""Names of the conditionings by branch; a method that tells the negative from the empty prompt has other ones."""
THREE = {"cond": "positive", "negative": "negative", "uncond": "empty"}
PROBES = (PURE_NOISE, *(variance_preserving(10.0 ** (k / 2)) for k in range(8, -7, -1)))


def branches(guidance: Guidance) -> set[Branch]:
    """Every prediction that the method needs anywhere."""
    return {branch for level in PROBES for branch in guidance.branches(level)}


def inputs(guidance: Guidance) -> dict[str, str] | None:
    """Condition to input, or None for a method that needs more than ComfyUI can be asked for."""
    needed = branches(guidance)
    conditions = conditions_of(needed)
    names = THREE if "negative" in conditions else INPUTS
    if not conditions <= set(names) or not all(isinstance(change, SERVED) for change in _changes(needed)):
        return None
    return {branch: name for branch, name in names.items() if branch in conditions or name in ("positive", "negative")}


def of_unets(guidance: Guidance) -> bool:
    """Whether the method changes what U-Nets alone have."""
    return any(isinstance(change, OF_UNETS) for change in _changes(branches(guidance)))


def weak_models(guidance: Guidance) -> list[Any]:
    """The MODELs that a method compares with."""
    return [change.backend for change in _changes(branches(guidance)) if isinstance(change, WeakModel)]


def inner(guidance: Any) -> str | None:
    """The name of the field that holds another guidance."""
    return next((f.name for f in dataclasses.fields(guidance) if f.metadata.get("kind") == "guidance"), None)


def name_of(guidance: Any) -> str:
    """As in PAG(CFG)."""
    name = inner(guidance)
    return type(guidance).__name__ + (f"({name_of(getattr(guidance, name))})" if name else "")


def with_scale(guidance: Any, scale: float) -> Any:
    """The method with this scale of CFG: its own, or that of the method within."""
    name = inner(guidance)
    if name:
        return dataclasses.replace(guidance, **{name: with_scale(getattr(guidance, name), scale)})
    return dataclasses.replace(guidance, scale=scale) if hasattr(guidance, "scale") else guidance


def scale_of(guidance: Any) -> float:
    """The scale of CFG of a method, or of the one within it; 1 where there is none."""
    name = inner(guidance)
    return scale_of(getattr(guidance, name)) if name else getattr(guidance, "scale", 1.0)


def _changes(needed: set[Branch]) -> Iterator[Any]:
    return (branch.change for branch in needed if isinstance(branch, Perturbed))

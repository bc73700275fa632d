"""Guidance methods as ComfyUI's GUIDER objects: its own CFGGuider, on a model that carries the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...samplers.protocols import Guidance
from .guidance import INPUTS, THREE, guidance_on, inner, patched, with_scale


def guider(model: Any, guidance: Guidance, conditionings: Mapping[str, Any]) -> Any:
    """A GUIDER of conditionings by branch."""
    from . import host

    names = THREE if "negative" in conditionings else INPUTS
    extra = {branch: given for branch, given in conditionings.items() if names[branch] not in ("positive", "negative")}
    made = host.CFGGuider(patched(model, guidance, extra))
    by_name = {names[branch]: given for branch, given in conditionings.items()}
    made.set_conds(by_name["positive"], by_name["negative"])
    made.set_cfg(scale_of(guidance))
    return made


def wrap(around: Any, method: Callable[[Guidance], Guidance]) -> Any:
    """A GUIDER with another method around the one that a guider has, its conditionings and its scale."""
    from . import host

    made = host.CFGGuider(patched(around.model_patcher, method(guidance_in("guidance", around))))
    made.original_conds = dict(around.original_conds)
    made.set_cfg(around.cfg)
    return made


def guidance_in(field: str, given: Any) -> Guidance:
    """The method of a GUIDER, ComfyUI's CFGGuider among them.

    Raises:
        ValueError: for a guider with a prediction of its own, naming the input.
    """
    from . import host

    if type(given).predict_noise is not host.CFGGuider.predict_noise:
        raise ValueError(
            f"{field}: {type(given).__name__} combines predictions in its own way; connect a CFGGuider or a node of "
            "sigmabench/guidance/guiders"
        )
    return with_scale(guidance_on(given.model_patcher), float(given.cfg))


def scale_of(guidance: Any) -> float:
    """The scale of a method, or of the one within it; 1 where there is none."""
    if hasattr(guidance, "scale"):
        return guidance.scale
    name = inner(guidance)
    return scale_of(getattr(guidance, name)) if name else 1.0

"""Guidance methods as ComfyUI's GUIDER objects: its own CFGGuider, on a model that carries the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...samplers.protocols import Guidance
from .conditionings import INPUTS, THREE, scale_of, with_scale
from .guidance import extra_on, guidance_on, patched

OWN = ("uuid", "model_conds")
"""What ComfyUI writes anew into each guider's copy of a conditioning."""


def guider(model: Any, guidance: Guidance, conditionings: Mapping[str, Any]) -> Any:
    """A GUIDER of conditionings by branch."""
    from . import host

    names = THREE if "negative" in conditionings else INPUTS
    extra = {branch: given for branch, given in conditionings.items() if names[branch] not in ("positive", "negative")}
    made = host.CFGGuider(patched(model, guidance, extra))
    by_name = {names[branch]: given for branch, given in conditionings.items()}
    made.set_conds(by_name["positive"], by_name["negative"])
    made.inner_set_conds({f"sigmabench_{branch}": given for branch, given in extra.items()})
    made.set_cfg(scale_of(guidance))
    return made


def wrap(
    around: Any, field: str, others: Mapping[str, Any], method: Callable[..., Guidance], settings: Mapping[str, Any]
) -> Any:
    """A GUIDER with another method around the one that a guider has, its model, conditionings and scale.

    Args:
        others: further guiders by field, of which the method counts; their conditionings must be the same.

    Raises:
        ValueError: for a guider that cannot be, naming the field.
    """
    from . import host

    nested = {name: guidance_in(name, given) for name, given in {field: around, **others}.items()}
    extra: dict[str, Any] = {}
    for name, given in others.items():
        _check_same(name, given, field, around)
        extra |= extra_on(given.model_patcher)
    made = host.CFGGuider(patched(around.model_patcher, method(**settings, **nested), extra))
    made.original_conds = {**{k: v for other in others.values() for k, v in other.original_conds.items()},
                           **around.original_conds}  # fmt: skip
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


def _check_same(name: str, other: Any, field: str, around: Any) -> None:
    """
    Raises:
        ValueError: for a guider of another model or of other conditionings, which would be left aside in silence.
    """
    if not around.model_patcher.is_clone(other.model_patcher):
        raise ValueError(f"{name}: its model is not that of {field}; connect the same one to both guiders")
    shared = around.original_conds.keys() & other.original_conds.keys()
    if any(_content(around.original_conds[key]) != _content(other.original_conds[key]) for key in shared):
        raise ValueError(f"{name}: its conditionings are not those of {field}; connect the same ones to both guiders")


def _content(conditioning: Any) -> list[dict[str, int]]:
    return [{key: id(value) for key, value in part.items() if key not in OWN} for part in conditioning]

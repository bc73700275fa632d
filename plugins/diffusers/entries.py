"""The entries of our scheduler's config: given, taken from a config of any scheduler, or from one that it replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffusers
from diffusers.configuration_utils import ConfigMixin
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from ..registry import build
from .model_settings import FIELDS, is_ours, knows_model, model_settings
from .scheduler_config import PREDICTION_TYPES

CLIPPING = ("DDIM", "DDIMParallel", "DDPM", "DDPMParallel", "Heun", "LCM", "UnCLIP")
"""Beginnings of the names of the schedulers that obey ``clip_sample``; the configs of others may have it too."""


def checked(given: Mapping[str, Any], num_train_timesteps: int | None) -> dict[str, Any]:
    """What follows for the config from settings that name the whole model; nothing otherwise.

    Raises:
        ValueError: for an unknown name or value.
    """
    for kind in ("spacing", "schedule"):
        if given[kind] is not None:
            build(kind, given[kind])
    if given["prediction_type"] not in (None, *PREDICTION_TYPES):
        legal = ", ".join(map(repr, PREDICTION_TYPES))
        raise ValueError(f"prediction_type = {given['prediction_type']!r}: must be one of {legal}")
    if num_train_timesteps or not knows_model(given):
        return {}
    steps = build("schedule", given["schedule"]).timesteps
    return {"num_train_timesteps": steps, "spacing": given["spacing"] or "trailing"}


def from_any(config: Mapping[str, Any], given: Mapping[str, Any], own: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and settings for ``from_config``, where the config is our own or any scheduler's."""
    name = config.get("_class_name", "")
    if is_ours(name, config):
        return dict(config), {"use_dynamic_shifting": False, **given} if given.get("schedule") else dict(given)
    known: Any = getattr(diffusers.schedulers, name or "SchedulerMixin", SchedulerMixin)
    if issubclass(known, ConfigMixin):
        config = known.from_config(config).config  # complete: files leave out what was the default
    kept = {**kept_entries(name, config), "_class_name": name or own}
    return kept, {**given, **model_settings(name, config, given)}


def adopted(
    config: Mapping[str, Any], given: Mapping[str, Any], name: str, other: Mapping[str, Any], *, again: bool
) -> dict[str, Any]:
    """The entries of a scheduler that takes the place of another; none if it knows its model by itself.

    Args:
        name, other: class and config of the scheduler that a pipeline had.
        again: the model was another scheduler's before.

    Raises:
        ValueError: if it serves a pipeline of another model already.
    """
    if knows_model(config) and not again:
        return {}
    model = model_settings(name, other, given)
    if again and any(model[key] != config[key] for key in FIELDS):
        raise ValueError("this scheduler serves a pipeline of another model already: make one for each pipeline")
    return {**kept_entries(name, other), **config, **model}


def kept_entries(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What of another scheduler's config we keep beside our own entries; ``clip_sample`` as that scheduler takes it."""
    entries = {key: value for key, value in config.items() if key[0] != "_"}
    if name and not is_ours(name, config) and not name.startswith(CLIPPING):
        entries["clip_sample"] = False
    return entries

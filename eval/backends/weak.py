"""The weaker model of autoguidance, loaded beside the model that it guides."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...samplers.perturbation import WeakModel
from ..protocols import Model

KEPT = 2  # models in memory beside the guided one


def weak_model(model: Any, change: WeakModel) -> Model:
    """
    Raises:
        ValueError: if there is none, if it cannot be loaded, or if it is not of the model's kind.
    """
    if change.backend is None:
        raise ValueError(
            "autoguidance has no weaker model; name one, such as autoguidance(weak=embedded(path='folder'))"
        )
    weak = _loaded(change.backend, str(model.device), str(model.dtype).removeprefix("torch."))
    for what in ("shape", "schedule", "prediction"):
        mine, other = getattr(model, what), getattr(weak, what)
        if mine != other:
            raise ValueError(f"the weaker model {weak.id} has {what} {other}, but {model.id} has {mine}")
    return weak


@lru_cache(maxsize=KEPT)
def _loaded(backend: Any, device: str, dtype: str) -> Model:
    try:
        return backend.load(device, dtype)
    except (OSError, ImportError) as error:
        raise ValueError(f"the weaker model cannot be loaded: {error}") from error

"""A model that the program around this one has loaded already, such as ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...samplers.settings import setting, settings

if TYPE_CHECKING:
    from ..protocols import Model

_MODELS: dict[str, Model] = {}


@settings
class Connected:
    """A model that was handed over in this process; runs of it can be read and reported anywhere.

    In ComfyUI the sweep node connects what its inputs give: https://docs.comfy.org.
    """

    name: str = setting("", help="under which it was connected")

    def load(self, device: str = "cpu", dtype: str = "float32") -> Model:
        """
        Raises:
            ValueError: if no such model is connected now.
        """
        if self.name not in _MODELS:
            raise ValueError(
                f"no model {self.name!r} is connected; run the sweep where it was made, as in ComfyUI's node"
            )
        return _MODELS[self.name]


@contextmanager
def connected(name: str, model: Model) -> Iterator[str]:
    """Offer a model as the backend whose text is given, while the context is open."""
    _MODELS[name] = model
    try:
        yield f"connected(name={name!r})"
    finally:
        del _MODELS[name]

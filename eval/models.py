"""The models of a sweep, one in memory at a time, and the prompts that they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from ..plugins.registry import build
from .cells import samples
from .errors import UsageError
from .execution.executed import check_device, executed
from .protocols import Drawing, Given, Model
from .sweep import Sweep


class Models:
    """
    Raises:
        UsageError: for anything that the caller has to mend; so does every method.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.device = sweep, device_of(sweep)
        usage("this sweep", check_device, sweep.execution, self.device)
        self.backends: dict[str, Any] = {text: build("backend", text) for text in sweep.models}
        self.load = lru_cache(maxsize=1)(self._load)

    def prompts(self) -> list[str]:
        """The sweep's, or what all models ask for of themselves: a vocabulary of their own, or nothing at all."""
        if self.sweep.prompts:
            return self.sweep.prompts
        own = {text: getattr(b, "prompts", ()) or self._own_prompts(text) for text, b in self.backends.items()}
        known = set(map(tuple, own.values())) - {()}
        if len(known) != 1:
            raise UsageError(f"prompts are missing, and {', '.join(own)} bring none in common; give a list or a file")
        return list(known.pop())

    def ready(self, text: str, prompts: list[str]) -> Model:
        """The model, once it has taken the prompts and every other text and image of the sweep."""
        sweep, who = self.sweep, f"model {text}"
        if check := getattr(self.backends[text], "check_prompts", None):
            others = [sweep.negative] if sweep.negative else []
            usage(who, check, [*prompts, *others, *sweep.texts.values()])
        model = self.load(text)
        if not isinstance(model, Drawing):
            usage(who, model.encode, prompts[:1])
        if isinstance(model, Given):
            usage(who, model.check_images, samples(sweep, prompts, 0, sweep.looks()[-1]))
        return model

    def _own_prompts(self, text: str) -> tuple[str, ...]:
        return getattr(self.load(text), "prompts", ())

    def _load(self, text: str) -> Model:
        model = usage(f"model {text}", self.backends[text].load, self.device, self.sweep.dtype)
        return usage(f"model {text}", executed, model, self.sweep.execution)


def device_of(sweep: Sweep) -> str:
    """
    Raises:
        UsageError: for a GPU that is not there.
    """
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = found if sweep.device == "auto" else sweep.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda', but torch sees no CUDA device; use device: cpu or auto")
    return device


def usage(who: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call a plugin's own check; what it refuses is the caller's to mend."""
    try:
        return function(*args)
    except (ValueError, OSError, ImportError) as error:
        raise UsageError(f"{who}: {error}") from error

"""A sweep made ready: models and observers loaded, every cell, prompt and setting checked, and nothing written yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from ..plugins.registry import build
from .cells import Planned, plan, samples
from .errors import UsageError
from .execution.executed import check_device, executed
from .plans import Plan
from .protocols import Drawing, Given, Model
from .sweep import Sweep, metric_instances


class Prepared:
    """What running a sweep needs.

    Raises:
        UsageError: for anything that the caller has to mend.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.device = sweep, device_of(sweep)
        _usage("this sweep", check_device, sweep.execution, self.device)
        self.load = lru_cache(maxsize=1)(self._load)  # one model in memory at a time
        metrics = metric_instances(sweep)
        self.plan = self._plan()
        self.observers = self._observers(metrics)

    def _plan(self) -> Plan:
        cells: list[Planned] = []
        backends = {text: build("backend", text) for text in self.sweep.models}
        prompts = self.sweep.prompts or self._default_prompts(backends)
        others = [self.sweep.negative] if self.sweep.negative else []
        texts = [*prompts, *others, *self.sweep.texts.values()]
        for text, backend in backends.items():
            if hasattr(backend, "check_prompts"):
                _usage(f"model {text}", backend.check_prompts, texts)
            model = self.load(text)
            if not isinstance(model, Drawing):
                _usage(f"model {text}", model.encode, prompts[:1])
            if isinstance(model, Given):
                _usage(f"model {text}", model.check_images, samples(self.sweep, prompts, 0, self.sweep.looks()[-1]))
            cells += plan(self.sweep, text, model, prompts)
        if all(planned.refused for planned in cells):
            raise UsageError(f"no cell of this sweep can be run. {cells[0].cell.sampler}: {cells[0].refused}")
        if self.sweep.intervals == "prompts" and len({prompts[i % len(prompts)] for i in range(self.sweep.images)}) < 2:
            raise UsageError("intervals = 'prompts' needs images of two prompts or more; use intervals: images")
        return Plan(self.sweep, prompts, cells)

    def _default_prompts(self, backends: dict[str, Any]) -> list[str]:
        """What all models ask for of themselves: a vocabulary of their own, or nothing at all."""
        own = {
            text: getattr(b, "prompts", ()) or getattr(self.load(text), "prompts", ()) for text, b in backends.items()
        }
        known = set(map(tuple, own.values())) - {()}
        if len(known) != 1:
            raise UsageError(f"prompts are missing, and {', '.join(own)} bring none in common; give a list or a file")
        return list(known.pop())

    def _observers(self, metrics: dict[str, Any]) -> list[Any]:
        observers: dict[str, Any] = {}
        for text, metric in metrics.items():
            if hasattr(metric, "check_prompts"):
                _usage(f"metric {text}", metric.check_prompts, self.plan.prompts)
            if self.sweep.images < metric.minimum:
                raise UsageError(f"metric {text} needs at least {metric.minimum} images, images = {self.sweep.images}")
            for observer in _usage(f"metric {text}", metric.observers, self.device):
                observers.setdefault(observer.name, observer)
        return list(observers.values())

    def _load(self, text: str) -> Model:
        model = _usage(f"model {text}", build("backend", text).load, self.device, self.sweep.dtype)
        return _usage(f"model {text}", executed, model, self.sweep.execution)


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


def _usage(who: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call a plugin's own check; what it refuses is the caller's to mend."""
    try:
        return function(*args)
    except (ValueError, OSError, ImportError) as error:
        raise UsageError(f"{who}: {error}") from error

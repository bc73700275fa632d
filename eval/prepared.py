"""A sweep made ready: models and observers loaded, every cell, prompt and setting checked, and nothing written yet."""

from __future__ import annotations

from typing import Any

from .cells import Planned, plan
from .errors import UsageError
from .models import Models, usage
from .plans import Plan
from .sweep import Sweep, metric_instances


class Prepared:
    """What running a sweep needs.

    Raises:
        UsageError: for anything that the caller has to mend.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.models = sweep, Models(sweep)
        self.load, self.device = self.models.load, self.models.device
        metrics = metric_instances(sweep)
        self.plan = self._plan()
        self.observers = self._observers(metrics)

    def _plan(self) -> Plan:
        cells: list[Planned] = []
        prompts = self.models.prompts()
        for text in self.sweep.models:
            cells += plan(self.sweep, text, self.models.ready(text, prompts), prompts)
        if all(planned.refused for planned in cells):
            raise UsageError(f"no cell of this sweep can be run. {cells[0].cell.sampler}: {cells[0].refused}")
        if self.sweep.intervals == "prompts" and len({prompts[i % len(prompts)] for i in range(self.sweep.images)}) < 2:
            raise UsageError("intervals = 'prompts' needs images of two prompts or more; use intervals: images")
        return Plan(self.sweep, prompts, cells)

    def _observers(self, metrics: dict[str, Any]) -> list[Any]:
        observers: dict[str, Any] = {}
        for text, metric in metrics.items():
            if hasattr(metric, "check_prompts"):
                usage(f"metric {text}", metric.check_prompts, self.plan.prompts)
            if self.sweep.images < metric.minimum:
                raise UsageError(f"metric {text} needs at least {metric.minimum} images, images = {self.sweep.images}")
            for observer in usage(f"metric {text}", metric.observers, self.device):
                observers.setdefault(observer.name, observer)
        return list(observers.values())

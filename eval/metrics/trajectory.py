"""Trajectory error: how far a sampler ends from the solution that it approximates, image by image.

    e_i = |x_i - x_i*| / sqrt(dim),    x_i* the end of a fine path from the same noise, prompt and guidance

Needs no reference images and no feature network, and ranks deterministic samplers with a few dozen images. It is a
claim about the solver, not about quality. Refused for samplers that solve another problem: stochastic ones walk other
paths, and ones that use the unconditional prediction themselves (CFG++) have another limit.

The reference has an error of its own, and cells much closer to it than that are not told apart: for the embedded model
about 0.0008 with 100 steps, where DPM++ 2M with 10 steps is at 0.05.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...plugins.registry import build, describe, entries_in
from ...samplers.settings import setting, settings
from ..errors import NotApplicable
from .estimate import mean
from .precision import on_host

if TYPE_CHECKING:
    from torch import Tensor

    from ..cells import Cell
    from ..protocols import Observations, StateObserver, Value

MARK = "trajectory reference"
"""Among a reference's plugins: it is kept apart from a cell of the same settings."""


class PathObserver:
    """The error of each clean x, float32 (B,); nan where the sampler has no reference."""

    def __init__(self, sampler: str, spacing: str, steps: int) -> None:
        self.sampler = describe("sampler", build("sampler", sampler))
        self.spacing = describe("spacing", build("spacing", spacing))
        self.steps = steps
        if not _solves(self.sampler):
            raise ValueError(f"sampler = {sampler!r} cannot be a reference: it is stochastic or has another limit")
        content = f"{self.sampler}|{self.spacing}|{steps}".encode()
        self.name = f"trajectory/{steps}-{hashlib.sha256(content).hexdigest()[:8]}"

    def reference(self, cell: Cell) -> Cell | None:
        """The cell that this one is measured against; None for a sampler that solves another problem."""
        if cell.given or not _solves(cell.sampler):
            return None
        from ..sweep import MODEL_SCHEDULE

        texts = [("sampler", self.sampler), ("spacing", self.spacing), ("guidance", cell.guidance)]
        texts += [("schedule", cell.schedule)] if cell.schedule != MODEL_SCHEDULE else []
        entries = [entry for kind, text in texts for entry in entries_in(kind, text) if entry.version]
        plugins = (*(f"{entry.plugin}=={entry.version}" for entry in entries), MARK)
        return dataclasses.replace(cell, sampler=self.sampler, spacing=self.spacing, steps=self.steps, plugins=plugins)

    def __call__(self, x: Tensor, solution: np.ndarray | None) -> Tensor:
        """Clean x (B, *shape) and their solutions."""
        import torch

        from ...samplers.moved import moved

        x = x.float().cpu() if on_host(x.device) else x.float()
        if solution is None:
            return x.new_full((len(x),), torch.nan)
        gap = x - moved(torch.from_numpy(solution), x.device)
        return gap.flatten(1).double().square().mean(dim=1).sqrt().float()


@settings
class TrajectoryError:
    """Mean distance per dimension of the clean x to that of a fine path from the same noise; the solver's own error."""

    higher_is_better: ClassVar[bool | None] = False
    minimum: ClassVar[int] = 2

    sampler: str = setting("dpmpp_3m", help="of the reference: deterministic and of high order")
    spacing: str = setting("beta(alpha=0.4, beta=0.4)", help="of the reference: fine at both ends")
    steps: int = setting(100, low=1, high=10_000, help="of the reference")

    def observers(self, device: str) -> Sequence[StateObserver]:
        return [self._observer()]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        observer = self._observer()
        if not all(observer.name in shard for shard in shards):
            raise ValueError(f"no observations {observer.name!r} of these images; run the sweep again with this metric")
        errors = np.concatenate([shard[observer.name] for shard in shards]).astype(np.float64)
        if np.isnan(errors).any():
            raise NotApplicable("there is no solution to compare with: the sampler is stochastic or has another limit")
        quartiles = np.quantile(errors, (0.25, 0.5, 0.75)).tolist()
        card = {
            "metric": "trajectory_error",
            "reference": f"{observer.sampler}, {observer.spacing}, {observer.steps} steps",
            "formula": "|x - x*| / sqrt(dim), mean over images",
            "quartiles": quartiles,
        }
        return mean(errors, card)

    def _observer(self) -> PathObserver:
        return PathObserver(self.sampler, self.spacing, self.steps)


def _solves(sampler: str) -> bool:
    """Whether a sampler follows the probability-flow path."""
    built = build("sampler", sampler)
    return not built.stochastic and not built.needs

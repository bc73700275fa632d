"""A run of a sampler in a pipeline's hands: the pipeline evaluates, and may edit the latents in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from ...samplers.run import start
from .noise import PipelineNoise
from .plan import Plan

if TYPE_CHECKING:
    from torch import Tensor


class Driven:
    """One run from evaluation ``index`` of a plan on.

    The pipeline sees x in the scale of the model's schedule and in the dtype it likes; here it is float32 at least and
    in the sampler's scale. What it hands back is compared, number by number, with what it was handed: only numbers that
    it edited lose the state's precision.

    Attributes:
        index: of the evaluation that is open; ``len(plan)`` at the end.
        x: the state.
        noise: where the sampler's noise comes from.
    """

    def __init__(self, plan: Plan, index: int, sample: Tensor, noise: PipelineNoise) -> None:
        self.plan, self.index, self.noise = plan, index, noise
        x = sample.to(torch.promote_types(sample.dtype, torch.float32))
        self._run = start(plan.sampler, x / plan.scale(index), plan.rest(index), noise)
        self.x, _ = next(self._run)

    def latents(self, dtype: torch.dtype) -> Tensor:
        """x as the pipeline sees it."""
        return (self.x * self.plan.scale(self.index)).to(dtype)

    def answer(
        self, sample: Tensor, output: Tensor, clip: Callable[[Tensor], Tensor] | None, needed: Sequence[Tensor] = ()
    ) -> Tensor:
        """Go on to the next evaluation with the network's output at ``sample``; returns the x0 that it says.

        Args:
            needed: the predictions of x0 that the sampler needs beside the guided one.

        Raises:
            RuntimeError: if the sampler goes on to another level than planned.
        """
        x, terms = self._returned(sample), self.plan.terms[self.index]
        x0 = x * terms.p + output.to(x.dtype) * terms.q
        if clip:
            x0 = clip(x0)
        self.index += 1
        try:
            self.x, level = self._run.send((x, x0, *needed))
        except StopIteration as stop:
            self.x, level = stop.value, None
        if level != (self.plan.levels[self.index] if self.index < len(self.plan) else None):
            raise RuntimeError(
                f"{self.plan.sampler} chose another level than in its dry run; pipelines need a fixed path"
            )
        return x0

    def _returned(self, sample: Tensor) -> Tensor:
        """The state as the pipeline left it."""
        if sample.dtype == self.x.dtype and self.plan.scale(self.index) == 1:
            return sample
        edited = sample.to(self.x.dtype) / self.plan.scale(self.index)
        return torch.where(sample == self.latents(sample.dtype), self.x, edited)

"""A run of a sampler in a pipeline's hands: the pipeline evaluates, and may edit the latents in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...samplers.run import start
from .levels import sigma_of
from .noise import PipelineNoise
from .plan import Plan
from .refusals import VARIANCE

if TYPE_CHECKING:
    from torch import Tensor

    from .clipping import Clip


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

    def sigmas(self) -> tuple[float, float, int]:
        """Sigma of the open evaluation and of the next, as pipelines count it, and the time at sigma = 1."""
        prediction, last = self.plan.prediction, self.plan.path.levels[-1]
        now, following = [*self.plan.levels, last][self.index : self.index + 2]
        return sigma_of(prediction, now), sigma_of(prediction, following), prediction.schedule.timesteps

    def step(
        self, sample: Tensor, output: Tensor, clip: Clip | None, beside: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The latents of the next evaluation and the x0 of this one, in the dtype of ``sample``.

        Args:
            output: of twice the channels, the second half is a variance, -1 to 1, for samplers that need it.
            beside: predictions of x0 by branch, for samplers that need them.

        Raises:
            RuntimeError: after the last evaluation.
            ValueError: for a sampler that needs a variance if there is none.
        """
        if self.index == len(self.plan):
            raise RuntimeError("the last step was taken: call set_timesteps before another run")
        if output.shape[1] == 2 * sample.shape[1]:
            output, variance = output.split(sample.shape[1], dim=1)
            beside = {**beside, VARIANCE: ((variance + 1) / 2).to(self.x.dtype)}
        needs = self.plan.sampler.needs
        if VARIANCE in needs and VARIANCE not in beside:
            raise ValueError("this network predicts no variance: use ddpm with variance=small or large")
        x0 = self.answer(sample, output, clip, [beside[name] for name in needs]).to(sample.dtype)
        return self.latents(sample.dtype), x0

    def answer(self, sample: Tensor, output: Tensor, clip: Clip | None, needed: Sequence[Tensor] = ()) -> Tensor:
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

    def __reduce_ex__(self, protocol: Any) -> Any:
        """
        Raises:
            TypeError: always; a run that is over need not be copied.
        """
        raise TypeError("a scheduler in the middle of a run cannot be copied: copy it before, or call set_timesteps")

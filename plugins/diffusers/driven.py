"""A run of a sampler in a pipeline's hands: the pipeline evaluates, and may edit the latents in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ...samplers.run import start
from ...samplers.sums import cast, pair, times
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
    in the sampler's scale. What it hands back is compared with what it was handed, number by number unless it is the
    same tensor still: only numbers that it edited lose the state's precision.

    Attributes:
        index: of the evaluation that is open; ``len(plan)`` at the end.
        x: the state.
        noise: where the sampler's noise comes from.
        clip: what is done to every prediction of x0, if anything.
    """

    def __init__(self, plan: Plan, index: int, sample: Tensor, noise: PipelineNoise, clip: Clip | None = None) -> None:
        self.plan, self.index, self.noise, self.clip = plan, index, noise, clip
        self.needs = plan.sampler.needs
        x, scale = cast(sample, torch.promote_types(sample.dtype, torch.float32)), plan.scales[index]
        self._run = start(plan.sampler, x if scale == 1 else x / scale, plan.rest(index), noise)
        self.x, _ = next(self._run)
        self._handed: tuple[Tensor, int] | None = None  # a copy of x that the pipeline has, and its count of edits

    def latents(self, dtype: torch.dtype) -> Tensor:
        """x as the pipeline sees it."""
        scale = self.plan.scales[self.index]
        return cast(self.x if scale == 1 else times(self.x, scale), dtype)

    def sigmas(self) -> tuple[float, float, int]:
        """Sigma of the open evaluation and of the next, as pipelines count it, and the time at sigma = 1."""
        prediction, last = self.plan.prediction, self.plan.path.levels[-1]
        now, following = [*self.plan.levels, last][self.index : self.index + 2]
        return sigma_of(prediction, now), sigma_of(prediction, following), prediction.schedule.timesteps

    def step(self, sample: Tensor, output: Tensor, beside: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The latents of the next evaluation and the x0 of this one, in the dtype of ``sample``.

        Args:
            output: of twice the channels, the second half is a variance, -1 to 1, for samplers that need it.
            beside: predictions of x0 by branch, for samplers that need them.

        Raises:
            RuntimeError: after the last evaluation, and if the sampler goes on to another level than planned.
            ValueError: for a sampler that needs a variance if there is none.
        """
        if self.index == len(self.plan.levels):
            raise RuntimeError("the last step was taken: call set_timesteps before another run")
        if output.shape[1] == 2 * sample.shape[1]:
            output, variance = output.split(sample.shape[1], dim=1)
            beside = {**beside, VARIANCE: ((variance + 1) / 2).to(self.x.dtype)}
        if VARIANCE in self.needs and VARIANCE not in beside:
            raise ValueError("this network predicts no variance: use ddpm with variance=small or large")
        x, terms = self._returned(sample), self.plan.terms[self.index]
        x0 = pair(x, cast(output, x.dtype), terms.p, terms.q)
        if self.clip:
            x0 = self.clip(x0)
        self._answer((x, x0, *[beside[name] for name in self.needs]))
        latents = self.latents(sample.dtype)
        if latents is not self.x and not latents.is_inference():
            self._handed = latents, latents._version
        return latents, cast(x0, sample.dtype)

    def _answer(self, reply: tuple[Tensor, ...]) -> None:
        """Go on to the next evaluation."""
        self.index += 1
        try:
            self.x, level = self._run.send(reply)
        except StopIteration as stop:
            self.x, level = stop.value, None
        if level != (self.plan.levels[self.index] if self.index < len(self.plan.levels) else None):
            raise RuntimeError(
                f"{self.plan.sampler} chose another level than in its dry run; pipelines need a fixed path"
            )

    def _returned(self, sample: Tensor) -> Tensor:
        """The state as the pipeline left it."""
        scale = self.plan.scales[self.index]
        if scale == 1 and sample.dtype is self.x.dtype:
            return sample
        if self._handed and sample is self._handed[0] and sample._version == self._handed[1]:
            return self.x
        edited = sample.to(self.x.dtype) / scale
        return torch.where(sample == self.latents(sample.dtype), self.x, edited)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """
        Raises:
            TypeError: always; a run that is over need not be copied.
        """
        raise TypeError("a scheduler in the middle of a run cannot be copied: copy it before, or call set_timesteps")

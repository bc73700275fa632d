"""The forward process in diffusers' words: noise at any times of a batch, as training and image to image want it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from .levels import level_at

if TYPE_CHECKING:
    from torch import Tensor

    from ...samplers.level import Level
    from ..prediction import Prediction


class ForwardProcess:
    """Methods of a scheduler that need its model alone, and the level that a run of it is at."""

    if TYPE_CHECKING:

        @property
        def _prediction(self) -> Prediction: ...

        @property
        def _level(self) -> Level | None:
            """Of the evaluation that is open or to come first; None if no run has a place yet."""

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Any) -> Tensor:
        """alpha * original + sigma * noise: at the evaluation that is open or to come first, else at these times."""
        levels = [self._level] if self._level else self._levels(timesteps)
        alpha, sigma = _coefficients(original_samples, levels)
        return (alpha * original_samples + sigma * noise).to(original_samples.dtype)

    def scale_noise(self, sample: Tensor, timestep: Any, noise: Tensor) -> Tensor:
        """``add_noise`` by the name, and in the order, of flow matching."""
        return self.add_noise(sample, noise, timestep)

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Any) -> Tensor:
        """alpha * noise - sigma * sample, what a network of v_prediction learns to say at these times.

        Salimans & Ho 2022, arXiv 2202.00512.
        """
        alpha, sigma = _coefficients(sample, self._levels(timesteps))
        return (alpha * noise - sigma * sample).to(sample.dtype)

    @property
    def alphas_cumprod(self) -> Tensor:
        """alpha^2 at every time that the network was trained at, by which training scripts weigh their losses.

        Raises:
            AttributeError: for a flow; pipelines ask by it whether a model is one.
        """
        if self._prediction.kind == "flow":
            raise AttributeError("a flow has no alphas_cumprod")
        return torch.tensor([level.alpha**2 for level in self._levels(range(self._prediction.schedule.timesteps))])

    @property
    def alphas(self) -> Tensor:
        """1 - beta at every time."""
        products = self.alphas_cumprod
        return products / torch.cat([products.new_ones(1), products[:-1]])

    @property
    def betas(self) -> Tensor:
        """Of the steps of training."""
        return 1 - self.alphas

    def _levels(self, times: Tensor | Sequence[float]) -> list[Level]:
        return [level_at(self._prediction, time) for time in torch.as_tensor(times).flatten().tolist()]


def _coefficients(like: Tensor, levels: Sequence[Level]) -> list[Tensor]:
    """alpha and sigma of one level, or of one for each row."""
    dtype, shape = torch.promote_types(like.dtype, torch.float32), (-1, *[1] * (like.ndim - 1))
    return [torch.tensor(values, dtype=dtype, device=like.device).view(shape) for values in zip(*levels, strict=True)]

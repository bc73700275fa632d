"""The noise of a run in a pipeline: from the pipeline's generators, or from seeds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ...samplers.brownian import BrownianNoise
from ...samplers.level import Level

Generators = torch.Generator | list[torch.Generator] | None


class PipelineNoise:
    """Unit normal noise like ``sample``, float32 at least.

    From ``generators``, which a pipeline gives anew at each step, one for each image if it is a list; without any, from
    the Brownian path of ``seed`` + i for image i, or else from torch's global generator.
    """

    def __init__(self, sample: Tensor, seed: int | None) -> None:
        self.generators: Generators = None
        self.shape, self.device = sample.shape, sample.device
        self.dtype = torch.promote_types(sample.dtype, torch.float32)
        self._seeded: BrownianNoise | None = None
        if seed is not None:
            seeds = range(seed, seed + len(sample))
            self._seeded = BrownianNoise(seeds, sample.shape[1:], self.device, self.dtype)

    def foresee(self, levels: Sequence[Level]) -> None:
        """Take in the levels of the run that is about to start."""
        if self._seeded:
            self._seeded.foresee(levels)

    def __call__(self, s: Level, t: Level) -> Tensor:
        if self._seeded and self.generators is None:
            return self._seeded(s, t)
        return randn_tensor(self.shape, generator=self.generators, device=self.device, dtype=self.dtype)

"""Noise that belongs to the image: image k is the same in any batch, on any device, in any order of work."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .level import Level
from .moved import moved

STEP_STREAM = (
    0x7F4A7C15  # torch's CPU generator reads 32 bits of a seed; an odd offset keeps every image's stream its own
)


class SeededNoise:
    """One random generator per image, drawn on the CPU in float32 and moved.

    ``initial()`` is what ``torch.randn(shape, generator=torch.Generator().manual_seed(seed))`` gives for each seed, as
    in diffusers with a list of generators. Noise within a run comes from a second stream, so that the first step never
    repeats the starting noise.

    Args:
        seeds: one integer in [0, 2^32) for each image.
        shape: of one image, without the batch dimension.

    Raises:
        ValueError: for a seed outside [0, 2^32).
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        for seed in seeds:
            if not 0 <= seed < 2**32:
                raise ValueError(f"seed {seed} is outside 0 <= seed < 2^32")
        self.seeds, self.shape, self.device, self.dtype = tuple(seeds), tuple(shape), device, dtype
        self._steps: list[torch.Generator] | None = None

    def initial(self) -> Tensor:
        """Unit normal noise to start from, (B, *shape)."""
        return self._draw([_generator(seed) for seed in self.seeds])

    def __call__(self, s: Level, t: Level) -> Tensor:
        """Unit normal noise for the step from s to t, (B, *shape): the next draw of each image's own stream."""
        if self._steps is None:
            self._steps = [_generator((seed + STEP_STREAM) % 2**32) for seed in self.seeds]
        return self._draw(self._steps)

    def _draw(self, generators: list[torch.Generator]) -> Tensor:
        if not generators:
            return torch.empty((0, *self.shape), dtype=self.dtype, device=self.device)
        noise = torch.stack([torch.randn(self.shape, generator=generator) for generator in generators])
        return moved(noise, self.device, self.dtype)


def no_noise(s: Level, t: Level) -> Tensor:
    """The noise of a run that may not use any.

    Raises:
        RuntimeError: always; a stochastic sampler was started without a noise source.
    """
    raise RuntimeError("this sampler asks for noise; pass noise=SeededNoise(seeds, shape)")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)

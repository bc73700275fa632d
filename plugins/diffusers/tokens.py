"""Tokens at times of their own: frames that a video pipeline was given stay cleaner than those that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .levels import NEAR

if TYPE_CHECKING:
    from torch import Tensor


class Tokens:
    """Rows of a flow's latents (B, N, C), each at its own sigma, none noisier than the one of the step at hand.

    A cleaner token lies on the line x = x0 + s v. Taken along it to the step's sigma, all are at one level, as a
    sampler sees them; the network says the same of both ends. What is as clean as the next level already is kept.

    Args:
        times: of the tokens, (B, N).
        now, following: sigma of the step at hand and of the next.
        trained: the time at sigma = 1.

    Raises:
        ValueError: for tokens that are noisier than the step at hand.
    """

    def __init__(self, times: Tensor, now: float, following: float, trained: int) -> None:
        sigma = times[..., None].to(torch.float64) / trained
        if (noisy := sigma.max().item()) > now + NEAR:
            raise ValueError(f"per_token_timesteps: a token at sigma = {noisy:g} is noisier than the step's {now:g}")
        self.behind = torch.where(sigma < now - NEAR, now - sigma, 0)
        self.kept = sigma <= following + NEAR

    def lifted(self, sample: Tensor, v: Tensor) -> Tensor:
        """The tokens at the step's sigma."""
        return torch.where(self.behind > 0, sample + self.behind.to(sample.dtype) * v, sample)

    def after(self, sample: Tensor, following: Tensor) -> Tensor:
        """The tokens of the next evaluation."""
        return torch.where(self.kept, sample, following)

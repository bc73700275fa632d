"""Classifier-free guidance whose result keeps the contrast of the conditional prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..settings import setting, settings
from . import of_two
from .space import SPACES

if TYPE_CHECKING:
    from torch import Tensor


@settings
class RescaledCFG:
    """g = uncond + scale * (cond - uncond), then rescale * g * std(cond) / std(g) + (1 - rescale) * g.

    Standard deviations are over all dimensions of one image. "v" combines velocities of the variance preserving
    process, as in the paper, whose models predict v; diffusers combines what the network predicts. At alpha = 0 only
    "flow" differs from the others.
    Lin, Liu, Li, Yang 2023, arXiv:2305.08891, eq. 14 to 16.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    rescale: float = setting(0.7, low=0.0, high=1.0, help="0 is plain CFG, 1 gives cond's deviation exactly")
    space: str = setting("v", choices=SPACES, help="what is combined")
    aliases: ClassVar[tuple[str, ...]] = ("RescaleCFG", "guidance_rescale", "cfg_rescale")

    branches, start = of_two.branches, of_two.start

    def guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        guided = uncond.lerp(cond, self.scale)
        return guided * self._factor(cond, guided)

    def _factor(self, cond: Tensor, guided: Tensor) -> Tensor:
        cond_std, std, peak = cond.flatten(1).std(1), guided.flatten(1).std(1), guided.flatten(1).abs().amax(1)
        contrast = std > 1e-6 * peak  # less is rounding: the exact x0 at alpha = 0 is one constant
        ratio = (cond_std / std).where(contrast, 1.0)
        return (self.rescale * ratio + (1 - self.rescale)).view(-1, *[1] * (cond.ndim - 1))

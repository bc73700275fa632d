"""Guidance that looks at the length of predictions: no longer than cond, or weaker where the difference is long."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..settings import setting, settings
from . import of_two
from .space import SPACES, length, share

if TYPE_CHECKING:
    from torch import Tensor


@settings
class CFGNorm:
    """g = uncond + scale (cond - uncond), then g min(1, limit |cond| / |g|), the length over an image or its channels.

    https://github.com/Alpha-VLLM/Lumina-Image-2.0 (over the image); ComfyUI's ``CFGNorm`` is over the channels of
    each pixel.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    limit: float = setting(1.0, low=0.0, high=100.0, help="longest result, in lengths of cond")
    over: str = setting("image", choices=("image", "channels"), help="what has one length")
    space: str = setting("x0", choices=SPACES, help="what is combined")
    aliases: ClassVar[tuple[str, ...]] = ("CFGNorm", "RenormCFG", "renorm_cfg")

    branches, start = of_two.branches, of_two.start

    def guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        guided = uncond.lerp(cond, self.scale)
        ratio = share(self._length(cond), self._length(guided), 1.0)
        return guided * (self.limit * ratio).clamp(max=1.0)

    def _length(self, prediction: Tensor) -> Tensor:
        return length(prediction) if self.over == "image" else prediction.norm(dim=1, keepdim=True)


@settings
class MagnitudeAware:
    """uncond + w (cond - uncond), w = 1 + (scale - 1) exp(-alpha |cond - uncond| / |uncond|) of each image.

    MAMBO-G, for flow models, whose velocities it combines. arXiv:2508.03442.
    """

    scale: float = setting(10.0, low=0.0, high=1000.0, help="where the difference is short; 1 is none")
    alpha: float = setting(8.0, low=0.0, high=1000.0, help="larger weakens long differences more; 0 is plain CFG")
    space: str = setting("flow", choices=SPACES, help="what is combined")
    aliases: ClassVar[tuple[str, ...]] = ("MagnitudeAwareGuidance", "mambo_g")

    branches, start = of_two.branches, of_two.start

    def guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        ratio = share(length(cond - uncond), length(uncond))
        scale = 1 + (self.scale - 1) * (-self.alpha * ratio).exp()
        return uncond + scale * (cond - uncond)

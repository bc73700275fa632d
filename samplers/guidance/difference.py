"""Guidance that treats cond - uncond as an image: with its peaks flattened, or sharpened."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..settings import setting, settings
from . import of_two
from .blur import blurred
from .space import share

if TYPE_CHECKING:
    from torch import Tensor


@settings
class Tonemap:
    """uncond + scale d / (1 + m / top), d = cond - uncond of x0, m its length over the channels of each pixel.

    top = multiplier (mean(m) + 5 std(m)) over the image: Reinhard's tone mapping, so that no pixel is led away far.
    Reinhard et al. 2002, doi:10.1145/566654.566575; of differences in https://github.com/comfyanonymous/ComfyUI.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    multiplier: float = setting(1.0, low=1e-6, high=1e6, help="less flattens more")
    aliases: ClassVar[tuple[str, ...]] = ("LatentOperationTonemapReinhard", "ModelSamplerTonemapNoiseTest")

    branches, start = of_two.branches, of_two.start

    def guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        difference = cond - uncond
        size = difference.norm(dim=1, keepdim=True)
        pixels = size.flatten(1)
        top = self.multiplier * (pixels.mean(1) + 5 * pixels.std(1)).view(-1, *[1] * (cond.ndim - 1))
        return uncond + self.scale * difference / (1 + share(size, top))


@settings
class Sharpen:
    """uncond + scale m (n + 10 alpha (n - G(n))), m n = cond - uncond of x0, m its length over the channels of a pixel.

    G is a Gaussian blur: unsharp masking of directions. A community method without a paper:
    ``LatentOperationSharpen``, https://github.com/comfyanonymous/ComfyUI.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    alpha: float = setting(0.1, low=0.0, high=5.0, help="0 is plain CFG")
    sigma: float = setting(1.0, low=0.1, high=100.0, help="of the blur, in elements of x; it ends at 4 sigma")
    aliases: ClassVar[tuple[str, ...]] = ("LatentOperationSharpen",)

    branches, start = of_two.branches, of_two.start

    def guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        difference = cond - uncond
        size = difference.norm(dim=1, keepdim=True)
        direction = share(difference, size.expand_as(difference))
        sharp = direction + 10 * self.alpha * (direction - blurred(direction, self.sigma))
        return uncond + self.scale * size * sharp

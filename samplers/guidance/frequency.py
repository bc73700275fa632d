"""Guidance with a scale for coarse and another for fine detail. Linear, so the same in x0, eps and v."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine


@settings
class FDG:
    """uncond + scale_low L(d) + scale (d - L(d)), d = cond - uncond; L blurs, halves, doubles and blurs again.

    The two levels of a Laplacian pyramid over the last two dimensions, binomial 5 x 5 blur and bilinear resizing. Low
    frequencies at a high scale saturate, high ones at a low scale are dull. Sadat et al. 2025, arXiv:2506.19713.
    """

    scale: float = setting(10.0, low=0.0, high=1000.0, help="of fine detail; 1 is none")
    scale_low: float = setting(5.0, low=0.0, high=1000.0, help="of coarse detail; 1 is none")
    aliases: ClassVar[tuple[str, ...]] = ("FrequencyDecoupledGuidance",)

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == self.scale_low == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        cond = predictions["cond"]
        if self.scale == self.scale_low == 1:
            return cond
        difference = cond - predictions["uncond"]
        return cond + (self.scale - 1) * difference + (self.scale_low - self.scale) * _coarse(difference)


@settings
class FreSca:
    """uncond + scale (low A(d) + high (d - A(d))), d = cond - uncond; A keeps frequencies below the cutoff.

    Frequencies are counted in waves over the image; both of the last two dimensions must be below the cutoff.
    Huang et al. 2025, arXiv:2504.02154.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="of cond - uncond")
    low: float = setting(1.0, low=0.0, high=100.0, help="factor of coarse detail")
    high: float = setting(1.25, low=0.0, high=100.0, help="factor of fine detail")
    cutoff: int = setting(20, low=1, high=100_000, help="waves over the image where detail becomes fine")
    aliases: ClassVar[tuple[str, ...]] = ("FreSca",)

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale * self.low == self.scale * self.high == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        return self._combine

    def _combine(self, x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
        cond = predictions["cond"]
        if self.branches(level) == ("cond",):
            return cond
        import torch

        difference = cond - predictions["uncond"]
        _check_planes(difference)
        height, width = difference.shape[-2:]
        rows = torch.fft.fftfreq(height, 1 / height, device=x.device).abs() < self.cutoff
        columns = torch.fft.rfftfreq(width, 1 / width, device=x.device) < self.cutoff
        factor = torch.where(rows[:, None] & columns, self.low, self.high).to(difference.dtype)
        filtered = torch.fft.irfft2(torch.fft.rfft2(difference) * factor, s=(height, width))
        return cond - difference + self.scale * filtered


def _coarse(image: Tensor) -> Tensor:
    from torch.nn.functional import interpolate

    _check_planes(image)
    planes = image.reshape(-1, 1, *image.shape[-2:])
    height, width = image.shape[-2:]
    small = interpolate(_blur(planes), size=((height + 1) // 2, (width + 1) // 2), mode="bilinear")
    return _blur(interpolate(small, size=(height, width), mode="bilinear")).reshape(image.shape)


def _blur(planes: Tensor) -> Tensor:
    from torch.nn.functional import conv2d, pad

    from ..moved import tensor_like

    row = tensor_like([1.0, 4.0, 6.0, 4.0, 1.0], planes) / 16
    return conv2d(pad(planes, (2, 2, 2, 2), mode="reflect"), (row[:, None] * row).view(1, 1, 5, 5))


def _check_planes(image: Tensor) -> None:
    if image.ndim < 3 or min(image.shape[-2:]) < 3:
        raise ValueError(f"images of shape {tuple(image.shape[1:])} have no frequencies: they must be at least 3 x 3")

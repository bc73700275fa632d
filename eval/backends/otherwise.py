"""A loaded model that denoises in another way, without other layers: other inputs, or more answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from ...samplers.level import Level
from ...samplers.perturbation import AttendedRegions, Judged, NoisyTime, OtherChange, ScaledSkips, Windows
from ..protocols import Condition, Model
from .judged import judged
from .noisy_condition import noisy_condition
from .noisy_time import noisy_time
from .regions import attended_regions
from .skips import scaled_skips
from .windows import windows

Denoise = Callable[[Tensor, Sequence[Level], Condition], Tensor]


class Otherwise:
    """The model with another ``denoise`` and, where that needs more, another ``encode``."""

    def __init__(
        self,
        model: Any,
        denoise: Denoise,
        encode: Callable[[Sequence[str]], Condition] | None = None,
        check_prompts: Callable[[Sequence[str]], object] | None = None,
    ) -> None:
        self.id, self.schedule, self.prediction, self.shape = model.id, model.schedule, model.prediction, model.shape
        self.network: nn.Module = model.network
        self.decode, self.denoise, self.encode = model.decode, denoise, encode or model.encode
        self.check_prompts = check_prompts


def otherwise(model: Any, change: OtherChange) -> Model:
    """
    Raises:
        ValueError: if the change cannot be made in this model, with the reason.
    """
    if isinstance(change, Judged):
        return Otherwise(model, *judged(model, change))
    if isinstance(change, ScaledSkips):
        return Otherwise(model, scaled_skips(model, change))
    if isinstance(change, NoisyTime):
        return Otherwise(model, noisy_time(model, change))
    if isinstance(change, Windows):
        return Otherwise(model, windows(model, change))
    if isinstance(change, AttendedRegions):
        return Otherwise(model, attended_regions(model, change))
    return Otherwise(model, noisy_condition(model, change))

"""The range of a pixel model's images, where its config has one: clipping, or dynamic thresholding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...samplers.guidance import CFG, DynamicThreshold
from ...samplers.level import CLEAN

if TYPE_CHECKING:
    from torch import Tensor

Clip = Callable[["Tensor"], "Tensor"]


def clip_of(config: Mapping[str, Any]) -> Clip | None:
    """What ``thresholding`` and ``clip_sample`` of a scheduler's config do to a prediction of x0."""
    if config.get("thresholding"):
        threshold = DynamicThreshold(CFG(1.0), config["dynamic_thresholding_ratio"], config["sample_max_value"])
        combine = threshold.start()
        return lambda x0: combine(x0, CLEAN, {"cond": x0})
    if config.get("clip_sample"):
        limit = config.get("clip_sample_range", 1.0)
        return lambda x0: x0.clamp(-limit, limit)
    return None

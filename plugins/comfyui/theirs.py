"""The CFG function that another pack has set on a MODEL, as a guidance method that ours can go around."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ...samplers.level import Level
from ...samplers.protocols import Combine, Predictions


@dataclasses.dataclass(frozen=True)
class Theirs:
    """
    Attributes:
        function: ComfyUI's sampler_cfg_function.
        call: the arguments of ComfyUI's call at work.
    """

    function: Callable[[dict[str, Any]], Tensor]
    scale: float = 1.0
    call: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond", "uncond")

    def start(self) -> Combine:
        def combine(x: Tensor, level: Level, predictions: Predictions) -> Tensor:
            x = x * self.call["gain"](level)
            cond, uncond = predictions["cond"], predictions["uncond"]
            differences = {"cond": x - cond, "uncond": x - uncond, "cond_denoised": cond, "uncond_denoised": uncond}
            return x - self.function({**self.call, **differences, "input": x, "cond_scale": self.scale})

        return combine


def theirs_in(guidance: Any) -> list[Theirs]:
    """Every such method within a method."""
    if isinstance(guidance, Theirs):
        return [guidance]
    fields = dataclasses.fields(guidance) if dataclasses.is_dataclass(guidance) else ()
    nested = (getattr(guidance, f.name) for f in fields if f.metadata.get("kind") == "guidance")
    return [found for method in nested for found in theirs_in(method)]

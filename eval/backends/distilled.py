"""What a consistency model was distilled for, as its pipeline says, and what a cell asks beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins.registry import build
from ...samplers.level import Level

if TYPE_CHECKING:
    from ..cells import Cell

SCHEDULERS = ("LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler")
SAMPLERS = ("lcm", "tcd", "consistency")


def beyond(pipe: Any, cell: Cell) -> str:
    """What the cell asks that the pipeline's network was not distilled for, and the remedy; "" if nothing is known."""
    config = pipe.scheduler.config
    if type(pipe.scheduler).__name__ not in SCHEDULERS:
        return ""
    asks, times = [], config.get("original_inference_steps")
    if cell.sampler.partition("(")[0] not in SAMPLERS:
        asks.append(f"sampler {cell.sampler}: use {', '.join(SAMPLERS)}")
    if times and cell.steps > times:
        asks.append(f"{cell.steps} steps of the {times} times it knows: use fewer")
    if len(build("guidance", cell.guidance).branches(Level(1.0, 1.0))) > 1 and _embeds_guidance(pipe):
        asks.append(f"guidance {cell.guidance} beside its own: use cfg(1), and distilled_guidance for the scale")
    return f"{type(pipe).__name__} is a consistency model, not made for {'; '.join(asks)}" if asks else ""


def _embeds_guidance(pipe: Any) -> bool:
    config = (pipe.components.get("unet") or pipe.components["transformer"]).config
    return bool(config.get("time_cond_proj_dim") or config.get("guidance_embeds"))

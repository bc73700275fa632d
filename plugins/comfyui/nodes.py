"""Nodes made from the registry: a class for each plugin, and a few of their own.

SAMPLER     a sampler, for SamplerCustom and SamplerCustomAdvanced
SIGMAS      a spacing over the model's noise schedule, or over another schedule
GUIDER      a guidance method with its conditionings
MODEL       a guidance method that takes the place of CFG in whatever samples this model
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ..registry import catalogue
from .conditionings import inputs
from .guidance_nodes import guider_node, patch_node
from .sampling_nodes import sampler_node, schedule_node, spacing_node


def mappings() -> tuple[dict[str, type], dict[str, str]]:
    """Every node by its id, and the names shown."""
    from .noise import SigmabenchNoise
    from .zero_snr import SigmabenchZeroSNR

    found = [*_all(), (SigmabenchNoise, "noise for each image"), (SigmabenchZeroSNR, "zero terminal SNR")]
    return {cls.__name__: cls for cls, _ in found}, {cls.__name__: title for cls, title in found}


def _all() -> Iterator[tuple[type, str]]:
    for entry in catalogue("sampler").values():
        yield sampler_node(entry), f"{entry.name} (sampler)"
    for entry in catalogue("spacing").values():
        yield spacing_node(entry), f"{entry.name} (spacing)"
    for entry in catalogue("schedule").values():
        yield schedule_node(entry), f"{entry.name} (schedule)"
    for entry in catalogue("guidance").values():
        if inputs(entry.cls()) is None:
            logging.info("Sigmabench: no node for guidance %s: ComfyUI has no such predictions", entry.name)
            continue
        yield guider_node(entry), f"{entry.name} (guider)"
        yield patch_node(entry), f"{entry.name} (model patch)"

"""What is taken from ComfyUI. Only this file imports it, and only nodes at work import this file."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.model_sampling
import comfy.sampler_helpers
import comfy.samplers
from comfy.patcher_extension import WrappersMP

KSAMPLER, CFGGuider = comfy.samplers.KSAMPLER, comfy.samplers.CFGGuider
calc_cond_batch, convert_cond = comfy.samplers.calc_cond_batch, comfy.sampler_helpers.convert_cond
get_area_and_mult = comfy.samplers.get_area_and_mult
poll = comfy.model_management.throw_exception_if_processing_interrupted
OUTER_SAMPLE = WrappersMP.OUTER_SAMPLE


class ZeroSNR(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION):
    """ComfyUI's discrete schedule and v-prediction in one."""


def zero_snr_sampling(model_config: Any) -> ZeroSNR:
    """A model's own betas, rescaled to end at zero SNR, with v-prediction."""
    return ZeroSNR(model_config, zsnr=True)

"""Zero terminal SNR from end to end, for models that were trained on it."""

from __future__ import annotations

from typing import Any

from ...samplers.guidance import RescaledCFG
from ...samplers.spacings import Trailing
from .guiders import guider
from .node_class import CATEGORY, CONDITIONINGS, MODEL, STEPS
from .process import process_of
from .schedule import schedule_of, walk


class SigmabenchZeroSNR:
    """All that a model trained with zero terminal SNR needs: noise that ends at none of the image, v-prediction, steps
    from that very level on (trailing), and rescaled guidance.

    The MODEL is for plain samplers such as KSampler, with whose cfg it is guided; use the scheduler sigmabench_trailing
    there. Lin, Liu, Li, Yang 2023, arXiv:2305.08891.
    """

    DESCRIPTION = __doc__
    RETURN_TYPES = ("MODEL", "GUIDER", "SIGMAS")
    RETURN_NAMES = ("model", "guider", "sigmas")
    FUNCTION = "execute"
    CATEGORY = f"{CATEGORY}/zero terminal SNR"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        scale = {"default": 7.5, "min": 0.0, "max": 1000.0, "step": 0.1, "round": False, "tooltip": "1 is no guidance"}
        rescale = {"default": 0.7, "min": 0.0, "max": 1.0, "step": 0.05, "round": False, "tooltip": "0 is plain CFG"}
        conds = {name: ("CONDITIONING", {"tooltip": CONDITIONINGS[name]}) for name in ("positive", "negative")}
        return {
            "required": {
                "model": MODEL,
                **conds,
                "steps": STEPS,
                "scale": ("FLOAT", scale),
                "rescale": ("FLOAT", rescale),
            }
        }

    def execute(
        self, model: Any, positive: Any, negative: Any, steps: int, scale: float, rescale: float
    ) -> tuple[Any, Any, Any]:
        if process_of(model.get_model_object("model_sampling")).flow:
            raise ValueError("model: a flow model starts at pure noise already; use its own schedule and any guider")
        from .host import zero_snr_sampling

        clone = model.clone()
        sampling = zero_snr_sampling(model.model.model_config)
        clone.add_object_patch("model_sampling", sampling)
        guided = guider(clone, RescaledCFG(scale, rescale), {"cond": positive, "uncond": negative})
        sigmas = walk(Trailing(), schedule_of(sampling), process_of(sampling), steps, 1.0)
        return guided.model_patcher, guided, sigmas

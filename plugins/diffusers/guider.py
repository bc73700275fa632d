"""Any guidance as a diffusers guider, for modular pipelines: ``pipe.update_components(guider=...)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.guiders.guider_utils import BaseGuidance, GuiderOutput
from torch import Tensor

from ...samplers.guidance.further import asks_again
from ...samplers.protocols import Combine
from ..registry import build
from .levels import level_at
from .model_settings import prediction_of

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

PREDICTIONS = {"cond": "pred_cond", "uncond": "pred_uncond"}
"""The branches that pipelines have, and what guiders call them."""
GRID = 20
"""Levels at which a guidance is asked for its branches before a run."""


class StepGuider(BaseGuidance):
    """A guidance at work in a diffusers pipeline.

    Guidance combines predictions of x0 at a level; a guider is handed what the network says, and a time. The level is
    that of the time, the latents are those that the network is called with, and the combination goes back as what the
    network would have said. Only the predictions that a level needs are evaluated.

    Args:
        guidance: in text form, such as ``interval(apg(5), sigma_hi=5)``.
        schedule, prediction_type: the model's, as in ``StepScheduler``.
        enabled: if not, the prediction of cond is taken as it is.

    Raises:
        ValueError: for an unknown name, and a guidance that needs predictions which pipelines do not make.
    """

    _input_predictions = list(PREDICTIONS.values())  # type: ignore[assignment]  # noqa: RUF012

    @register_to_config
    def __init__(self, *, guidance: str, schedule: str, prediction_type: str, enabled: bool = True) -> None:
        super().__init__(enabled=enabled)
        self.guidance = build("guidance", guidance)
        model = {"schedule": schedule, "prediction_type": prediction_type, "use_dynamic_shifting": False}
        self._prediction = prediction_of(model)
        levels = [self._prediction.schedule.level((i + 1) / GRID) for i in range(GRID)]
        self._ever = tuple(dict.fromkeys(name for level in levels for name in self.guidance.branches(level)))
        if missing := [name for name in self._ever if name not in PREDICTIONS]:
            raise ValueError(
                f"{guidance} needs the {' and '.join(missing)} prediction, which diffusers' pipelines do not make: use"
                " a guidance of cond and uncond, or sigmabench's own sweeps"
            )
        if asks_again(self.guidance, levels):
            raise ValueError(
                f"{guidance} asks the network again at other latents, which diffusers' guiders cannot: use "
                "sigmabench's own sweeps"
            )
        self.needs: tuple[str, ...] = ()  # what a scheduler's sampler needs beside the guided prediction
        self.predictions: dict[str, Tensor] = {}  # of x0, by branch, at the last evaluation
        self._now: tuple[str, ...] = ()
        self._combine: Combine = self.guidance.start()
        self._x: Tensor | None = None
        self._hook: RemovableHandle | None = None

    def set_state(self, step: int, num_inference_steps: int, timestep: Any) -> None:
        super().set_state(step, num_inference_steps, timestep)
        if step == 0:
            self._combine = self.guidance.start()

    @property
    def is_conditional(self) -> bool:
        return self._count_prepared == 1

    @property
    def num_conditions(self) -> int:
        """Predictions of the evaluation at work; between evaluations, the most there may be."""
        ever = self._ever if self._enabled else ("cond",)
        return len(self._now or {*ever, *self.needs})

    def prepare_inputs(self, data: Any) -> list[Any]:
        return [self._prepare_batch(data, *which) for which in self._batches()]

    def prepare_inputs_from_block_state(self, data: Any, input_fields: Any) -> list[Any]:
        return [self._prepare_batch_from_block_state(input_fields, data, *which) for which in self._batches()]

    def _batches(self) -> list[tuple[int, str]]:
        """Which of (cond, uncond) the level at hand needs, and the names of their predictions."""
        level = level_at(self._prediction, float(self._timestep))
        guided = self.guidance.branches(level) if self._enabled else ("cond",)
        self._now = tuple(dict.fromkeys((*guided, *self.needs)))
        return [(i, PREDICTIONS[name]) for i, name in enumerate(PREDICTIONS) if name in self._now]

    def prepare_models(self, denoiser: torch.nn.Module) -> None:
        super().prepare_models(denoiser)
        self._hook = denoiser.register_forward_pre_hook(self._watch, with_kwargs=True)

    def cleanup_models(self, denoiser: torch.nn.Module) -> None:
        if self._hook:
            self._hook.remove()
            self._hook = None

    def _watch(self, denoiser: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._x = args[0] if args else kwargs["sample" if "sample" in kwargs else "hidden_states"]

    def forward(self, pred_cond: Tensor, pred_uncond: Tensor | None = None) -> GuiderOutput:
        """
        Raises:
            ValueError: for latents of another shape than the network's output.
        """
        pred = self._combined(pred_cond, pred_uncond) if self._enabled or self.needs else pred_cond
        self._now = ()
        return GuiderOutput(pred=pred, pred_cond=pred_cond, pred_uncond=pred_uncond)

    def _combined(self, cond: Tensor, uncond: Tensor | None) -> Tensor:
        if self._x is None or self._x.shape != cond.shape:
            raise ValueError("the network's input is not latents alone: its guidance cannot be put in terms of x0")
        level = level_at(self._prediction, float(self._timestep))
        _, _, p, q = self._prediction.terms(level)
        x = self._x.to(torch.promote_types(self._x.dtype, torch.float32))
        outputs = {"cond": cond, "uncond": uncond}
        self.predictions = {
            name: p * x + q * output.to(x.dtype) for name, output in outputs.items() if output is not None
        }
        if not self._enabled:
            return cond
        return ((self._combine(x, level, self.predictions) - p * x) / q).to(cond.dtype)

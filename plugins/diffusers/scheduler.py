"""Any sampler, schedule and spacing as a diffusers scheduler.

A pipeline calls ``step(model_output, t, latents)`` once for each time in ``timesteps``; a sampler is a generator that
asks for evaluations. Each call of ``step`` answers the question that is open and returns the x of the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerMixin
from diffusers.utils import BaseOutput
from torch import Tensor

from ...samplers.path import Path
from ...samplers.spacings import Simple
from ..registry import build
from .clipping import clip_of
from .driven import Driven
from .levels import level_at, levels_at_times, levels_of_sigmas, sigma_of
from .model_settings import FIELDS, is_ours, kept_entries, knows_model, model_settings, prediction_of
from .noise import Generators, PipelineNoise
from .plan import Evaluations, Plan
from .scheduler_config import PREDICTION_TYPES

if TYPE_CHECKING:
    from .guider import StepGuider


@dataclass
class StepSchedulerOutput(BaseOutput):
    """The latents for the next evaluation, and the image that the last one predicts."""

    prev_sample: Tensor
    pred_original_sample: Tensor


class StepScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """A sampler at work in a diffusers pipeline.

    Args:
        sampler, spacing, schedule: in text form, such as ``dpmpp_2m_sde(eta=0.5)``.
        prediction_type: "epsilon", "v_prediction", "sample" or "flow_prediction".
        use_dynamic_shifting: whether the schedule is shifted by the ``mu`` that the pipeline finds for an image's size.
        time_shift_type: "exponential", a shift by exp(mu), or "linear", by mu.
        seed: of the noise within a run where the pipeline gives ``step`` no generator, as those of flow models; image i
            has seed + i. Without one it is torch's global generator that draws it.

    What is None is the model's, taken from the scheduler that the pipeline had; other entries of its config are kept,
    so ``DDIMScheduler.from_config(scheduler.config)`` leads back. The pipeline always sees latents in the scale of the
    model's schedule. The state within is float32 at least, and latents that were edited are taken as they are.

    Attributes:
        guider: what answers the pipeline's guidance, for samplers that need its predictions one by one.

    Raises:
        ValueError: for an unknown name or value.
    """

    _compatibles = [  # noqa: RUF012
        *(name for name in KarrasDiffusionSchedulers.__members__ if not name.startswith("EDM")),
        "FlowMatchEulerDiscreteScheduler",
    ]

    @register_to_config
    def __init__(
        self,
        sampler: str = "euler",
        spacing: str | None = None,
        schedule: str | None = None,
        prediction_type: str | None = None,
        num_train_timesteps: int | None = None,
        use_dynamic_shifting: bool | None = None,
        time_shift_type: str | None = None,
        seed: int | None = None,
    ) -> None:
        self.sampler = build("sampler", sampler)
        for kind, text in (("spacing", spacing), ("schedule", schedule)):
            if text is not None:
                build(kind, text)
        if prediction_type not in (None, *PREDICTION_TYPES):
            legal = ", ".join(map(repr, PREDICTION_TYPES))
            raise ValueError(f"prediction_type = {prediction_type!r}: must be one of {legal}")
        self.given = {"spacing": spacing, "schedule": schedule, "prediction_type": prediction_type}
        if schedule and prediction_type and not num_train_timesteps:
            num_train_timesteps = build("schedule", schedule).timesteps
            self.register_to_config(num_train_timesteps=num_train_timesteps, spacing=spacing or "trailing")
        self.register_to_config(_use_default_values=[])
        self.adopted = False
        self.guider: StepGuider | None = None
        self.num_inference_steps: int | None = None
        self.timesteps = self.sigmas = torch.empty(0)
        self._plan: Plan | None = None
        self._begin_index: int | None = None
        self._run: Driven | None = None

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """From a config of this class, or from any scheduler's, which says what the model is."""
        name = config.get("_class_name", "") if isinstance(config, dict) else ""
        if isinstance(config, dict) and not is_ours(name, config):
            known: Any = getattr(diffusers.schedulers, name or "SchedulerMixin", SchedulerMixin)
            if issubclass(known, ConfigMixin):
                config = known.from_config(config).config  # complete: files leave out what was the default
            kwargs |= model_settings(name, config, kwargs)
            config = {**kept_entries(name, config), "_class_name": name or cls.__name__}
        elif kwargs.get("schedule"):
            kwargs.setdefault("use_dynamic_shifting", False)
        return super().from_config(config, return_unused_kwargs, **kwargs)

    def adopt(self, other: Any) -> None:
        """Take what was not given from the scheduler that a pipeline had until now.

        Raises:
            ValueError: if its model is another than that of a pipeline which this scheduler serves already.
        """
        known = knows_model(self.config) and not self.adopted
        if known or other is self or not (isinstance(other, SchedulerMixin) and isinstance(other, ConfigMixin)):
            return
        name = type(other).__name__
        model = model_settings(name, other.config, self.given)
        if self.adopted and any(model[key] != self.config[key] for key in FIELDS):
            raise ValueError("this scheduler serves a pipeline of another model already: make one for each pipeline")
        self.register_to_config(**{**kept_entries(name, other.config), **self.config, **model})
        self.adopted = True

    def check_needs(self) -> None:
        """
        Raises:
            ValueError: if the sampler needs a prediction that the pipeline does not give.
        """
        branches = tuple(name for name in self.sampler.needs if name != "variance")
        if branches and not (self.guider and self.guider.needs == branches):
            raise ValueError(
                f"{self.config['sampler']} needs the {' and '.join(self.sampler.needs)} prediction beside the guided"
                " one, and pipelines give the guided one alone: use the sampler inside it, or a modular pipeline with"
                " guider=sigmabench.guider(...) given to both"
            )

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        timesteps: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        original_inference_steps: int | None = None,
    ) -> None:
        """Begin anew; ``timesteps`` is then as long as there are evaluations, which may be more than steps.

        Args:
            timesteps: the times of the steps, falling.
            sigmas: those of the steps, falling; see ``levels_of_sigmas``.
            mu: of dynamic shifting.
            original_inference_steps: the grid of a consistency model's teacher, from which the steps are chosen.

        Raises:
            ValueError: for steps that the spacing cannot make, a level that the model cannot serve, a sampler that does
                not know its evaluations in advance or needs what the pipeline does not give.
        """
        self.check_needs()
        prediction = prediction_of(self.config, mu)
        grid = original_inference_steps
        spacing = Simple(grid) if grid else build("spacing", self.config["spacing"])
        if timesteps is not None:
            levels = levels_at_times(prediction, timesteps)
        elif sigmas is not None:
            levels = levels_of_sigmas(prediction, spacing, sigmas)
        elif num_inference_steps is not None:
            levels = spacing(prediction.schedule, num_inference_steps)
        else:
            raise ValueError("set_timesteps needs num_inference_steps, timesteps or sigmas")
        self._plan = plan = Plan(self.sampler, prediction, Path(levels))
        self.num_inference_steps = len(plan.path)
        self.timesteps = torch.tensor([terms.time for terms in plan.terms], dtype=torch.float32, device=device)
        self.sigmas = torch.tensor([sigma_of(prediction, level) for level in (*plan.levels, plan.path.levels[-1])])
        self._begin_index = self._run = None

    @property
    def order(self) -> int:
        """Evaluations of a step, which times a number of steps is that of their evaluations."""
        return Evaluations(self.sampler.evaluations, self._plan)

    @property
    def init_noise_sigma(self) -> float:
        """The standard deviation of the latents to start from: 1 but where a schedule is not of unit norm."""
        return self._plan.level(0).norm if self._plan else 1.0

    @property
    def begin_index(self) -> int | None:
        return self._begin_index

    @property
    def step_index(self) -> int | None:
        """The evaluation that is open; None before the first call of ``step``."""
        return self._run.index if self._run else None

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin with that evaluation, as for an image with some noise.

        Raises:
            ValueError: if no run of the sampler makes just the evaluations from there on.
        """
        self._planned().rest(begin_index)
        self._begin_index = begin_index

    def index_for_timestep(self, timestep: Any, schedule_timesteps: Tensor | None = None) -> int:
        """The evaluation of that time, of several the one with which a step begins.

        Raises:
            ValueError: if there is none.
        """
        times = (self.timesteps if schedule_timesteps is None else schedule_timesteps).tolist()
        found = [i for i, time in enumerate(times) if time == float(timestep)]
        if not found:
            raise ValueError(f"{float(timestep):g} is not one of the timesteps {times}")
        return next((i for i in found if self._planned().begins_step(i)), found[0])

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """The latents as they are: the pipeline sees them in the scale of the model's input."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: Any,
        sample: Tensor,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> StepSchedulerOutput | tuple[Tensor, Tensor]:
        """The latents of the next evaluation, in the dtype of ``sample``, and the predicted image.

        Args:
            model_output: the network's, guided. Of twice the channels, the second half is a variance, -1 to 1, for
                samplers that need it.
            sample: the latents, edited or not.
            generator: of the noise that the sampler adds; of a list, one for each image.

        Raises:
            RuntimeError: before ``set_timesteps`` and after the last evaluation.
            ValueError: for a sampler that needs a variance if there is none.
        """
        plan = self._planned()
        if self._run is None:
            index = self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index
            self._run = Driven(plan, index, sample, PipelineNoise(sample, self.config["seed"]))
        if self._run.index == len(plan):
            raise RuntimeError("the last step was taken: call set_timesteps before another run")
        self._run.noise.generators = generator
        output, given = model_output, dict(self.guider.predictions) if self.guider else {}
        if model_output.shape[1] == 2 * sample.shape[1]:
            output, variance = model_output.split(sample.shape[1], dim=1)
            given["variance"] = ((variance + 1) / 2).to(torch.promote_types(variance.dtype, torch.float32))
        if "variance" in self.sampler.needs and "variance" not in given:
            raise ValueError("this network predicts no variance: use ddpm with variance=small or large")
        needed = [given[name] for name in self.sampler.needs]
        x0 = self._run.answer(sample, output, clip_of(self.config), needed).to(sample.dtype)
        following = self._run.latents(sample.dtype)
        return StepSchedulerOutput(prev_sample=following, pred_original_sample=x0) if return_dict else (following, x0)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Any) -> Tensor:
        """alpha * original + sigma * noise: at the evaluation that is open or to come first, else at these times."""
        index = self._begin_index if self.step_index is None else self.step_index
        if index is not None:
            levels = [self._planned().level(index)]
        else:
            prediction = self._plan.prediction if self._plan else prediction_of(self.config)
            levels = [level_at(prediction, time) for time in torch.as_tensor(timesteps).flatten().tolist()]
        dtype = torch.promote_types(original_samples.dtype, torch.float32)
        shape = (-1, *[1] * (original_samples.ndim - 1))
        alpha, sigma = (
            torch.tensor(values, dtype=dtype, device=original_samples.device).view(shape)
            for values in zip(*levels, strict=True)
        )
        return (alpha * original_samples + sigma * noise).to(original_samples.dtype)

    def scale_noise(self, sample: Tensor, timestep: Any, noise: Tensor) -> Tensor:
        """``add_noise`` by the name, and in the order, of flow matching."""
        return self.add_noise(sample, noise, timestep)

    def __getstate__(self) -> dict[str, Any]:
        """
        Raises:
            TypeError: in the middle of a run, which cannot be copied.
        """
        if self._run and self._run.index < len(self._planned()):
            raise TypeError(
                "a scheduler in the middle of a run cannot be copied: copy it before, or call set_timesteps"
            )
        return {**self.__dict__, "_run": None}

    def _planned(self) -> Plan:
        if self._plan is None:
            raise RuntimeError("call set_timesteps first")
        return self._plan

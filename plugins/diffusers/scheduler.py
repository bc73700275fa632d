"""Any sampler, schedule and spacing as a diffusers scheduler.

A pipeline calls ``step(model_output, t, latents)`` once for each time in ``timesteps``; a sampler is a generator that
asks for evaluations. Each call of ``step`` answers the question that is open and returns the x of the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerMixin
from diffusers.utils import BaseOutput
from torch import Tensor

from ...samplers.level import Level
from ...samplers.path import Path
from ...samplers.spacings import Simple
from ..prediction import Prediction
from ..registry import build
from .clipping import clip_of
from .driven import Driven
from .entries import adopted, checked, from_any
from .forward import ForwardProcess
from .levels import levels_asked
from .model_settings import prediction_of
from .noise import Generators, PipelineNoise
from .plan import Evaluations, Plan
from .refusals import KEEP, check_keywords, check_needs
from .tokens import Tokens

if TYPE_CHECKING:
    from .guider import StepGuider


@dataclass
class StepSchedulerOutput(BaseOutput):
    """The latents for the next evaluation, and the image that the last one predicts."""

    prev_sample: Tensor
    pred_original_sample: Tensor


class StepScheduler(ForwardProcess, SchedulerMixin, ConfigMixin):  # type: ignore[misc]
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
        self.given = {"spacing": spacing, "schedule": schedule, "prediction_type": prediction_type}
        self.register_to_config(**checked(self.given, num_train_timesteps), _use_default_values=[])
        self.adopted = False
        self.guider: StepGuider | None = None
        self.num_inference_steps: int | None = None
        self.timesteps = self.sigmas = torch.empty(0)
        self._plan: Plan | None = None
        self._asked: Any = None  # what the plan answers
        self._asked_of: Any = None  # the config that it is of
        self._begin_index: int | None = None
        self._run: Driven | None = None

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """From a config of this class, or from any scheduler's, which says what the model is."""
        if isinstance(config, dict):
            config, kwargs = from_any(config, kwargs, cls.__name__)
        return super().from_config(config, return_unused_kwargs, **kwargs)

    def adopt(self, other: Any) -> None:
        """Take what was not given from the scheduler that a pipeline had until now.

        Raises:
            ValueError: if its model is another than that of a pipeline which this scheduler serves already.
        """
        if other is not self and isinstance(other, SchedulerMixin) and isinstance(other, ConfigMixin):
            entries = adopted(self.config, self.given, type(other).__name__, other.config, again=self.adopted)
            self.register_to_config(**entries)
            self.adopted = self.adopted or bool(entries)

    def check_needs(self) -> None:
        """
        Raises:
            ValueError: if the sampler needs a prediction that the pipeline does not give.
        """
        check_needs(self.sampler, self.config["sampler"], self.guider)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        timesteps: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        original_inference_steps: int | None = None,
        **others: Any,
    ) -> None:
        """Begin anew; ``timesteps`` is then as long as there are evaluations, which may be more than steps.

        Where the same is asked again, as for the next image, the plan of the run is kept.

        Args:
            timesteps: the times of the steps, falling.
            sigmas: those of the steps, falling; see ``levels_of_sigmas``.
            mu: of dynamic shifting.
            original_inference_steps: the grid of a consistency model's teacher, from which the steps are chosen.

        Raises:
            ValueError: for steps that the spacing cannot make, a level that the model cannot serve, a sampler that does
                not know its evaluations in advance or needs what the pipeline does not give.
        """
        check_keywords("set_timesteps", others)
        self.check_needs()
        asked = (num_inference_steps, _numbers(timesteps), _numbers(sigmas), mu, original_inference_steps)
        if self._plan is None or self._asked != asked or self._asked_of is not self.config:
            self._plan = self._plan_of(*asked)
            self._asked, self._asked_of = asked, self.config
        self.num_inference_steps = len(self._plan.path)
        self.timesteps, self.sigmas = self._plan.times.to(device, copy=True), self._plan.sigmas.clone()
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
        return self._planned().index_of(float(timestep), times)

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
        per_token_timesteps: Tensor | None = None,
        **others: Any,
    ) -> StepSchedulerOutput | tuple[Tensor, Tensor]:
        """The latents of the next evaluation, in the dtype of ``sample``, and the predicted image.

        Args:
            model_output: the network's, guided. Of twice the channels, the second half is a variance, -1 to 1, for
                samplers that need it.
            sample: the latents, edited or not.
            generator: of the noise that the sampler adds; of a list, one for each image.
            per_token_timesteps: of a flow's latents (B, N, C), where some are cleaner than others; see ``Tokens``. The
                output is then negated, as ``FlowMatchEulerDiscreteScheduler`` has it.

        Raises:
            RuntimeError: before ``set_timesteps`` and after the last evaluation.
            ValueError: for keywords of other schedulers that ask for something, and for a sampler that needs a variance
                if there is none.
        """
        if others:
            check_keywords("step", others)
        run = self._run = self._run or self._opened(timestep, sample)
        run.noise.generators = generator
        beside = self.guider.predictions if self.guider else {}
        if per_token_timesteps is None:
            following, x0 = run.step(sample, model_output, beside)
        else:
            tokens, v = Tokens(per_token_timesteps, *run.sigmas()), -model_output
            following, x0 = run.step(tokens.lifted(sample, v), v, beside)
            following = tokens.after(sample, following)
        return StepSchedulerOutput(prev_sample=following, pred_original_sample=x0) if return_dict else (following, x0)

    @property
    def _prediction(self) -> Prediction:
        return self._plan.prediction if self._plan else prediction_of(self.config)

    @property
    def _level(self) -> Level | None:
        index = self._begin_index if self.step_index is None else self.step_index
        return None if index is None else self._planned().level(index)

    def _plan_of(
        self,
        steps: int | None,
        times: Sequence[float] | None,
        sigmas: Sequence[float] | None,
        mu: float | None,
        grid: int | None,
    ) -> Plan:
        prediction = prediction_of(self.config, mu)
        spacing = Simple(grid) if grid else build("spacing", self.config["spacing"])
        return Plan(self.sampler, prediction, Path(levels_asked(prediction, spacing, steps, times, sigmas)))

    def _planned(self) -> Plan:
        if self._plan is None:
            raise RuntimeError("call set_timesteps first")
        return self._plan

    def _opened(self, timestep: Any, sample: Tensor) -> Driven:
        """A run that begins."""
        index = self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index
        noise = PipelineNoise(sample, self.config["seed"])
        return Driven(self._planned(), index, sample, noise, clip_of(self.config))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            raise AttributeError(f"{error}; {KEEP}") from None

    def __getstate__(self) -> dict[str, Any]:
        """Without a run that is over; one at work cannot be copied."""
        over = self._run and self._run.index == len(self._planned())
        return {**self.__dict__, "_run": None if over else self._run}


def _numbers(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(map(float, values))

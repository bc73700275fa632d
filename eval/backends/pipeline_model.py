"""A diffusers pipeline taken apart: its network is replayed, its scheduler only read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...plugins.diffusers.scheduler_config import read_scheduler
from ...samplers.level import Level
from ...samplers.perturbation import Change
from ..protocols import Condition, Model
from .changed import perturbed
from .distilled import beyond
from .latents import Autoencoder
from .memory import Rows
from .pipeline_arguments import PipelineArguments
from .replay import CHANNELS, Replay
from .source_image import SourceImage

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..cells import Cell
    from .diffusers_pipeline import Diffusers


class DiffusersModel:
    """A pipeline taken apart: its network is replayed, its scheduler only read."""

    def __init__(self, settings: Diffusers, pipe: Any, name: str, picture: Any = None) -> None:
        self.id = f"diffusers/{name}"
        self.pipe, self.settings = pipe, settings
        self.network: nn.Module = network_of(pipe)
        self.device, self.strength = pipe._execution_device, settings.strength
        self.dtype = next(self.network.parameters()).dtype
        arguments = PipelineArguments(pipe, self.network, settings, picture)
        self.autoencoder = Autoencoder(pipe, settings.height, settings.width)
        self.replay = Replay(pipe, self.network, arguments, arguments.probes)
        scheduler = pipe.scheduler
        self._predict = read_scheduler(type(scheduler).__name__, scheduler.config, self.replay.call.mu)
        self.schedule, self.prediction, self.shape = self._predict.schedule, self._predict.kind, self.replay.shape
        self.memory = Rows(f"{type(self.network).__name__} of {self.id}")
        self.source = self._source(arguments)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Condition:
        """Conditions of these prompts, rows in their order; "" is what the pipeline takes for no prompt."""
        return self.replay.encode(prompts)

    @property
    def prompts(self) -> Sequence[str]:
        """What a sweep without prompts asks for: nothing, of an unconditional pipeline; else it has to say."""
        return () if self.replay.conditions else ("",)

    def begin(self, noise: Tensor, level: Level) -> Tensor:
        """The first x of a walk from this level, of unit noise."""
        return noise * level.norm if self.source is None else self.source.begin(noise, level, self.strength)

    @torch.no_grad()
    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x], one level per row."""

        def evaluate(part: slice) -> Tensor:
            own = {name: rows[part] for name, rows in condition.items()}
            return self._predict.denoise(lambda y, times: self.replay(y, times, own), x[part], levels[part])

        x0 = self.memory(len(x), evaluate)
        return x0 if self.source is None else self.source.kept(x0, [self.schedule.time(level) for level in levels])

    def beyond(self, cell: Cell) -> str:
        """What the cell asks that a distilled network was not made for; "" if nothing."""
        return beyond(self.pipe, cell)

    def decode(self, x: Tensor) -> Tensor:
        """Clean latents (B, *shape) to uint8 (B, 3, H, W)."""
        return self.autoencoder.decode(x)

    def perturbed(self, change: Change) -> Model:
        """This pipeline with the change in its network; ValueError if that cannot be."""
        return perturbed(self, change)

    def _source(self, arguments: PipelineArguments) -> SourceImage | None:
        """The image that walks start from, if they do not start from noise."""
        settings, conditioned = self.settings, CHANNELS in self.replay.conditions
        if conditioned and settings.strength < 1 and "strength" not in arguments.parameters:
            raise ValueError(f"strength: {self.replay.name} does not start from its image; leave it out")
        if settings.gradual and conditioned:
            raise ValueError(f"gradual: {self.replay.name} gives its mask to the network itself; leave it out")
        if not settings.image or (conditioned and settings.strength == 1):
            return None
        mask = "" if conditioned else settings.mask
        return SourceImage(self.autoencoder, self.shape, settings.image, mask, self.device, settings.gradual)


def network_of(pipe: Any) -> nn.Module:
    """
    Raises:
        ValueError: unless the pipeline has exactly one network that denoises.
    """
    found = [name for name in pipe.components if name.startswith(("unet", "transformer")) and pipe.components[name]]
    if found not in (["unet"], ["transformer"]):
        raise ValueError(
            f"{type(pipe).__name__} denoises with {found or 'neither a unet nor a transformer'}; legal are pipelines "
            "with exactly one unet or transformer"
        )
    return pipe.components[found[0]]

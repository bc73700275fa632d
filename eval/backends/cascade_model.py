"""Two stages at work: what the first makes is what the second is conditioned on, or starts from."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...plugins.registry import build
from ..cells import Cell, branches, levels
from ..costs.counting import count
from ..engine import generate
from ..jobs import Job
from ..protocols import Condition, Sample
from ..sweep import MODEL_SCHEDULE
from .diffusers_pipeline import Diffusers
from .handed_on import Redrawn, Unfinished, latents_of, same_latents, since, until, with_other_noise
from .replay import CHANNELS
from .source_image import pictures

if TYPE_CHECKING:
    from ...samplers.level import Level
    from .cascade import Cascade
    from .pipeline_model import DiffusersModel


class CascadeModel:
    """Draws whole images by walking twice; the noise of both walks is that of the image's seed.

    Raises:
        ValueError: for stages that do not go together.
    """

    def __init__(self, settings: Cascade, device: str, dtype: str) -> None:
        if settings.first is None or not isinstance(settings.second, Diffusers):
            raise ValueError("cascade needs stages: first=diffusers(path='if-1'), second=diffusers(path='if-2')")
        self.settings, self.device = settings, device
        self.first = settings.first.load(device, dtype)
        self.second: DiffusersModel = settings.second.load(device, dtype, self._small_images())
        self.enlarging = CHANNELS in self.second.replay.conditions
        self.same_latents = same_latents(self.first, self.second)
        self._check()
        if build("sampler", settings.sampler).evaluations is None:
            raise ValueError(f"sampler = {settings.sampler!r} chooses its steps for each image; use one that does not")
        self.id = f"cascade/{self.first.id}-{self.second.id}({self._walk()})"
        self.schedule, self.prediction, self.shape = self.first.schedule, self.first.prediction, self.first.shape
        self.network = self.first.network

    def check(self, cell: Cell) -> None:
        """
        Raises:
            ValueError: for a cell that a stage cannot walk.
        """
        for model, own in self._stages(cell):
            branches(own, model)

    def evaluations(self, cell: Cell) -> int:
        """Of both networks, for one image."""
        return sum(count(own, model).evaluations for model, own in self._stages(cell))

    def draw(self, cell: Cell, samples: Sequence[Sample]) -> Tensor:
        """Images of these samples, uint8 (B, 3, H, W)."""
        (first, small), (second, large) = self._stages(cell)
        x = generate(first, [Job(small, samples)], self.device)[0]
        if self.enlarging:
            second = Enlarging(second, samples, first.decode(x))
        else:
            second, samples = copy.copy(second), with_other_noise(samples)
            second.source = self._handed_on(x)
        return second.decode(generate(second, [Job(large, samples)], self.device)[0])

    def encode(self, prompts: Sequence[str]) -> Condition:
        raise NotImplementedError("a cascade draws whole images")

    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        raise NotImplementedError("a cascade draws whole images")

    def decode(self, x: Tensor) -> Tensor:
        """They are images already."""
        return x

    def _stages(self, cell: Cell) -> list[tuple[Any, Cell]]:
        """Each stage with the cell that it walks."""
        said = self.settings
        small = dataclasses.replace(cell, model=self.first.id)
        large = dataclasses.replace(
            cell, model=self.second.id, schedule=MODEL_SCHEDULE, sampler=said.sampler, spacing=said.spacing,
            steps=said.steps, guidance=said.guidance,
        )  # fmt: skip
        if not said.handover:
            return [(self.first, small), (self.second, large)]
        first, second = copy.copy(self.first), copy.copy(self.second)
        first.part = partial(until, first.schedule, said.handover)
        second.part = partial(since, levels(small, first).levels[-1])  # type: ignore[attr-defined]
        return [(first, small), (second, large)]

    def _handed_on(self, x: Tensor) -> Redrawn:
        if self.settings.handover:
            return Unfinished(x)
        return Redrawn(x if self.same_latents else latents_of(self.first.decode(x), self.second))

    def _check(self) -> None:
        """
        Raises:
            ValueError: unless the second stage can take what the first makes.
        """
        said, second = self.settings, f"second = {self.second.id}"
        if self.second.source is not None:
            raise ValueError(f"{second} has an image of its own: leave it out, the first stage makes it")
        if said.handover and (self.enlarging or self.second.strength < 1 or not self.same_latents):
            raise ValueError(
                f"handover = {said.handover}: unfinished latents can be gone on with by a pipeline with the same "
                f"autoencoder and size, without strength, that is given no image; {second} is none"
            )
        if not (said.handover or self.enlarging or self.second.strength < 1):
            raise ValueError(
                f"{second}: its network is not given an image to enlarge; to refine images, set its strength below 1, "
                "or handover of the cascade"
            )

    def _walk(self) -> str:
        said = self.settings
        text = f"{said.sampler}, {said.spacing}, {said.steps} steps, {said.guidance}"
        return f"{text}, from {said.handover}" if said.handover else text

    def _small_images(self) -> Any:
        """One of the size that the first stage makes, by which the second is watched."""
        return pictures(self.first.decode(torch.zeros(1, *self.first.shape, device=self.device)))[0]


class Enlarging:
    """The second stage while it enlarges these images: their rows stand for what it was watched with."""

    def __init__(self, model: DiffusersModel, samples: Sequence[Sample], images: Tensor) -> None:
        self.model = model
        self.id, self.schedule, self.prediction = model.id, model.schedule, model.prediction
        self.shape, self.network = model.shape, model.network
        prompts, seeds = ([getattr(sample, name) for sample in samples] for name in ("prompt", "seed"))
        self.rows = model.replay.channels_of(prompts, pictures(images), seeds)

    def encode(self, prompts: Sequence[str]) -> Condition:
        return {**self.model.encode(prompts), CHANNELS: self.rows}

    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        return self.model.denoise(x, levels, condition)

    def decode(self, x: Tensor) -> Tensor:
        return self.model.decode(x)

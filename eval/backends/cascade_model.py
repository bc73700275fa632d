"""Two stages at work: images of the first, decoded, are what the second is conditioned on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...plugins.registry import build
from ..cells import Cell, branches
from ..costs.counting import count
from ..engine import generate
from ..jobs import Job
from ..protocols import Condition, Sample
from ..sweep import MODEL_SCHEDULE
from .diffusers_pipeline import Diffusers
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
        if CHANNELS not in self.second.replay.conditions:
            raise ValueError(f"second = {self.second.id}: its network is not given an image to enlarge")
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
        images = first.decode(generate(first, [Job(small, samples)], self.device)[0])
        enlarging = Enlarging(second, samples, images)
        return second.decode(generate(enlarging, [Job(large, samples)], self.device)[0])

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
        return [(self.first, small), (self.second, large)]

    def _walk(self) -> str:
        said = self.settings
        return f"{said.sampler}, {said.spacing}, {said.steps} steps, {said.guidance}"

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

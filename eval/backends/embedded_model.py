"""The embedded generator and its text tower, loaded."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...plugins.diffusers.scheduler_config import read_scheduler
from ...samplers.level import Level
from ...samplers.perturbation import Change
from ..embedded.captions import check_words
from ..embedded.codec import SHAPE, decode, decode_float
from ..protocols import Condition, Model
from .changed import perturbed

if TYPE_CHECKING:
    from ..embedded.generator import Generator
    from ..embedded.imagetext import ImageText

STATES = "encoder_hidden_states"
MOST_KEPT = 4096
"""Prompts whose states are kept, so that all cells of a sweep share the work of the text tower."""


class EmbeddedModel:
    """The loaded generator and its text tower. The weights stay float32; lower precision is autocast."""

    def __init__(self, generator: Generator, text: ImageText, variant: str, dtype: torch.dtype = torch.float32) -> None:
        self.id = f"embedded/{variant}-{generator.hash}-{text.hash}"
        self.text, self.dtype = text, dtype
        self._predict = read_scheduler("DDIMScheduler", generator.scheduler_config)
        self.schedule, self.prediction = self._predict.schedule, self._predict.kind
        self.shape = (SHAPE[0], *[generator.unet.config.sample_size] * 2)
        # a copy, because the loaded network is shared and whoever counts evaluations puts hooks on this one
        unet: Any = copy.deepcopy(generator.unet)
        self.network: nn.Module = unet.to(memory_format=torch.channels_last)
        self.device = next(self.network.parameters()).device
        self._states = lru_cache(maxsize=MOST_KEPT)(self._encoded)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Condition:
        """{"encoder_hidden_states": float32 (B, 16, 32)}; "" is the unconditional prompt the network was trained with.

        Raises:
            ValueError: for a prompt with a word that the model does not know.
        """
        check_words(prompts)
        return {STATES: torch.cat([self._states(prompt) for prompt in prompts])}

    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x], one level per row."""
        states = condition[STATES]

        def network(own: Tensor, times: Tensor) -> Tensor:
            own = own.float().contiguous(memory_format=torch.channels_last)
            with self._precision():
                return self.network(own, times.float(), encoder_hidden_states=states, return_dict=False)[0]

        return self._predict.denoise(network, x, levels).contiguous()

    def decode(self, x: Tensor) -> Tensor:
        """Network space (B, 12, 16, 16) to uint8 (B, 3, 32, 32)."""
        return decode(x)

    def pixels(self, x: Tensor) -> Tensor:
        """Network space to images, 0 to 255 and beyond, float (B, 3, 32, 32), as a differentiable function."""
        return (decode_float(x) + 1) * 127.5

    def perturbed(self, change: Change) -> Model:
        """This model with the change in its network; ValueError if that cannot be."""
        return perturbed(self, change)

    def _encoded(self, prompt: str) -> Tensor:
        """The row of a prompt, which is encoded alone, so that it is the same in any company."""
        return self.text.encode_tokens([prompt]).to(self.device)

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

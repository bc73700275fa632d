"""The model that travels inside the package: 32x32 photographs from a small vocabulary of prompts, on any CPU."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ...samplers.level import Level
from ...samplers.settings import setting, settings
from ..embedded.captions import CLASSES, TONES, caption, check_words
from ..embedded.codec import SHAPE, decode
from ..embedded.generator import NAMES, Generator, folder_of, load_generator
from ..embedded.imagetext import FOLDER, ImageText, load_imagetext
from ..protocols import Condition
from .precision import torch_dtype
from .scheduler_config import read_scheduler

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = tuple(caption(name, tone) for tone in sorted(TONES, key=len) for name in CLASSES)


@settings
class Embedded:
    """The package's own text-to-image model: a diffusers UNet2DConditionModel on the states of an open_clip text tower.

    "v" starts at zero terminal SNR (Lin et al. 2023, arXiv:2305.08891), "eps" is classic (Ho et al. 2020,
    arXiv:2006.11239); both have linear betas and 1000 timesteps.
    """

    variant: str = setting("v", choices=tuple(reversed(NAMES)), help="what the network predicts")

    prompts: ClassVar[tuple[str, ...]] = PROMPTS
    """What a sweep without prompts asks for: every class in every tone, plain ones first."""

    def load(self, device: str = "cpu", dtype: str = "float32") -> EmbeddedModel:
        """
        Raises:
            FileNotFoundError: for an installation without the weights.
            ValueError: for an unknown dtype, and for float16 on a CPU.
        """
        number = torch_dtype(dtype, device)
        _require(folder_of(self.variant) / "unet" / "diffusion_pytorch_model.safetensors")
        _require(FOLDER / "open_clip_model.safetensors")
        return EmbeddedModel(load_generator(self.variant, device), load_imagetext(device), self.variant, number)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """
        Raises:
            ValueError: for a prompt with a word that the model does not know, before anything is loaded.
        """
        check_words(prompts)


class EmbeddedModel:
    """The loaded generator and its text tower. The weights stay float32; lower precision is autocast."""

    def __init__(self, generator: Generator, text: ImageText, variant: str, dtype: torch.dtype = torch.float32) -> None:
        self.id = f"embedded/{variant}-{generator.hash}-{text.hash}"
        self.text, self.dtype = text, dtype
        self._predict = read_scheduler("DDIMScheduler", generator.scheduler_config)
        self.schedule, self.prediction, self.shape = self._predict.schedule, self._predict.kind, SHAPE
        # a copy, because the loaded network is shared and whoever counts evaluations puts hooks on this one
        unet: Any = copy.deepcopy(generator.unet)
        self.network: nn.Module = unet.to(memory_format=torch.channels_last)
        self.device = next(self.network.parameters()).device

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Condition:
        """{"encoder_hidden_states": float32 (B, 16, 32)}; "" is the unconditional prompt the network was trained with.

        Raises:
            ValueError: for a prompt with a word that the model does not know.
        """
        check_words(prompts)
        return {"encoder_hidden_states": self.text.encode_tokens(prompts).to(self.device)}

    @torch.no_grad()
    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        """E[x0 | x], one level per row."""
        states = condition["encoder_hidden_states"]

        def network(own: Tensor, times: Tensor) -> Tensor:
            own = own.float().contiguous(memory_format=torch.channels_last)
            with self._precision():
                return self.network(own, times.float(), encoder_hidden_states=states, return_dict=False)[0]

        return self._predict.denoise(network, x, levels).contiguous()

    def decode(self, x: Tensor) -> Tensor:
        """Network space (B, 12, 16, 16) to uint8 (B, 3, 32, 32) on the CPU."""
        return decode(x).cpu()

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def _require(file: Path) -> None:
    if not file.is_file():
        raise FileNotFoundError(
            f"the embedded model's weights are missing: {file}. Reinstall the package, or use another backend"
        )

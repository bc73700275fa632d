"""The model that travels inside the package: 32x32 photographs from a small vocabulary of prompts, on any CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...samplers.settings import setting, settings
from ..embedded.captions import CLASSES, TONES, caption, check_words

if TYPE_CHECKING:
    from .embedded_model import EmbeddedModel

PROMPTS = tuple(caption(name, tone) for tone in sorted(TONES, key=len) for name in CLASSES)


@settings
class Embedded:
    """The package's own text-to-image model: a diffusers UNet2DConditionModel on the states of an open_clip text tower.

    "v" starts at zero terminal SNR (Lin et al. 2023, arXiv:2305.08891), "eps" is classic (Ho et al. 2020,
    arXiv:2006.11239); both have linear betas and 1000 timesteps.
    """

    variant: str = setting("v", choices=("v", "eps"), help="what the network predicts")
    path: str = setting("", help="a folder with another unet/ and scheduler/ of this kind; default: the shipped ones")

    prompts: ClassVar[tuple[str, ...]] = PROMPTS
    """What a sweep without prompts asks for: every class in every tone, plain ones first."""

    def load(self, device: str = "cpu", dtype: str = "float32") -> EmbeddedModel:
        """
        Raises:
            FileNotFoundError: for an installation without the weights.
            ValueError: for an unknown dtype, and for float16 on a CPU.
        """
        from ..embedded.generator import folder_of, load_generator, read_generator
        from ..embedded.imagetext import FOLDER, load_imagetext
        from .embedded_model import EmbeddedModel
        from .precision import torch_dtype

        number = torch_dtype(dtype, device)
        folder = Path(self.path) if self.path else folder_of(self.variant)
        _require(folder / "unet" / "diffusion_pytorch_model.safetensors")
        _require(FOLDER / "open_clip_model.safetensors")
        own = read_generator(folder, self.variant, device) if self.path else load_generator(self.variant, device)
        return EmbeddedModel(own, load_imagetext(device), self.variant, number)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """
        Raises:
            ValueError: for a prompt with a word that the model does not know, before anything is loaded.
        """
        check_words(prompts)


def _require(file: Path) -> None:
    if not file.is_file():
        raise FileNotFoundError(
            f"the embedded model's weights are missing: {file}. Reinstall the package, or use another backend"
        )
